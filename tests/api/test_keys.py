"""Where keys come from, and which headers open the door."""

from pathlib import Path

import pytest

from fourfold.api.keys import ApiKeyError, Keys, api_keys

KEY, OTHER = "k" * 32, "o" * 32


def test_keys_come_from_the_environment_and_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# the app\n{OTHER}\n\n")
    assert api_keys({}) == ()
    assert api_keys({"FOURFOLD_API_KEYS": f" {KEY}, ,{OTHER},"}) == (KEY, OTHER)
    assert api_keys({"FOURFOLD_API_KEYS": KEY}, file) == (KEY, OTHER)


def test_a_file_without_keys_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ApiKeyError, match="cannot read the API keys"):
        api_keys({}, tmp_path / "missing")
    (tmp_path / "empty").write_text("# none\n\n")
    with pytest.raises(ApiKeyError, match="holds no API key"):
        api_keys({}, tmp_path / "empty")


@pytest.mark.parametrize("key", ["", "short", "with space and more", "käse" * 8, "line\nbreak" * 4, "x" * 513])
def test_weak_keys_are_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ApiKeyError, match="API key 2 of 2 cannot be used; write keys of 16") as caught:
        Keys([KEY, key])
    assert not key or key not in str(caught.value)


def test_any_of_the_keys_is_accepted_and_nothing_else() -> None:
    keys = Keys([KEY, OTHER])
    assert keys
    assert keys.accept(f"Bearer {KEY}".encode())
    assert keys.accept(f"bearer {OTHER}".encode())
    for header in (
        "",
        "Bearer",
        "Bearer ",
        KEY,
        f"Basic {KEY}",
        f"Bearer {KEY}x",
        f"Bearer {KEY[:-1]}",
        f"Bearer {KEY} {OTHER}",
    ):
        assert not keys.accept(header.encode()), header
    assert not Keys([])
    assert not Keys([]).accept(b"Bearer ")
