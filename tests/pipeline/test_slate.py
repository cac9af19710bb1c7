"""Requests at the edges of what they may say."""

import msgspec
import pytest

from fourfold.pipeline.slate import MAX_EXCLUDED, MAX_SIZE, Request


def decoded(**fields: object) -> Request:
    return msgspec.json.decode(msgspec.json.encode({"viewer": "m", **fields}), type=Request)


@pytest.mark.parametrize(
    ("field", "smallest", "largest"),
    [("size", 1, MAX_SIZE), ("budget_ms", 1, 60_000), ("time", 0, (1 << 52) - 1)],
)
def test_numbers_at_their_edges(field: str, smallest: int, largest: int) -> None:
    for value in (smallest, largest):
        assert getattr(decoded(**{field: value}), field) == value
    for wrong in (smallest - 1, largest + 1, 1.5, "1"):
        with pytest.raises(msgspec.ValidationError, match=field):
            decoded(**{field: wrong})


@pytest.mark.parametrize("field", ["viewer", "request"])
def test_ids_at_their_edges(field: str) -> None:
    for value in ("x", "x" * 256):
        assert getattr(decoded(**{field: value}), field) == value
    for wrong in ("", "x" * 257, 7):
        with pytest.raises(msgspec.ValidationError, match=field):
            decoded(**{field: wrong})


def test_exclusions_at_their_edges() -> None:
    assert len(decoded(exclude=["x"] * MAX_EXCLUDED).exclude) == MAX_EXCLUDED
    for value in (["x"] * (MAX_EXCLUDED + 1), [""], "x", None):
        with pytest.raises(msgspec.ValidationError, match="exclude"):
            decoded(exclude=value)


def test_nothing_unknown_and_a_viewer_always() -> None:
    assert decoded() == Request(viewer="m")
    with pytest.raises(msgspec.ValidationError, match="siz"):
        decoded(siz=1)
    with pytest.raises(msgspec.ValidationError, match="viewer"):
        msgspec.json.decode(b"{}", type=Request)
