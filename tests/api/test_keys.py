"""Where keys come from, and which headers open the door."""

from pathlib import Path

import pytest

from fourfold.api.key_file import ApiKeyError, KeyFile
from fourfold.api.keys import Caller, Keys, api_keys
from fourfold.api.roles import Role

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


def header(key: str) -> bytes:
    return f"Bearer {key}".encode()


def test_any_of_the_keys_is_accepted_and_nothing_else() -> None:
    keys = Keys([KEY, OTHER])
    assert keys
    assert keys.caller(header(KEY)) == Caller("configured-1", Role.ADMIN)
    assert keys.caller(f"bearer {OTHER}".encode()) == Caller("configured-2", Role.ADMIN)
    for given in (
        "",
        "Bearer",
        "Bearer ",
        KEY,
        f"Basic {KEY}",
        f"Bearer {KEY}x",
        f"Bearer {KEY[:-1]}",
        f"Bearer {KEY} {OTHER}",
    ):
        assert keys.caller(given.encode()) is None, given
    assert not Keys([])
    assert Keys([]).caller(b"Bearer ") is None


def test_what_the_file_says_is_followed_while_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fourfold.api.keys.LOOK_SECONDS", 0.0)
    file = KeyFile(tmp_path / "keys.json")
    keys = Keys([], file)
    assert not keys
    stored, key = file.create("app", Role.WRITE, 0)
    assert keys
    assert keys.caller(header(key)) == Caller(f"app-{stored.id}", Role.WRITE)
    _, second = file.create("other", Role.READ, 0)
    assert keys.caller(header(key))
    assert keys.caller(header(second))
    file.revoke("app")
    assert keys.caller(header(key)) is None
    assert keys.caller(header(second))
    file.revoke("other")
    assert keys.caller(header(second)) is None
    assert keys, "a service must not open up when its last key is revoked"


def test_a_file_is_looked_at_now_and_then_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fourfold.api.keys.LOOK_SECONDS", 3_600.0)
    file = KeyFile(tmp_path / "keys.json")
    keys = Keys([KEY], file)
    _, key = file.create("app", Role.WRITE, 0)
    assert keys.caller(header(key)) is None


def test_keys_expire(tmp_path: Path) -> None:
    file, now = KeyFile(tmp_path / "keys.json"), [0]
    _, key = file.create("app", Role.READ, 0, expires=1_000)
    keys = Keys([], file, clock=lambda: now[0])
    now[0] = 999
    assert keys.caller(header(key))
    now[0] = 1_000
    assert keys.caller(header(key)) is None
    assert Keys([], file, clock=lambda: 2_000), "a service whose keys are all expired is closed, not open"


def test_keys_stay_where_their_file_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("fourfold.api.keys.LOOK_SECONDS", 0.0)
    file = KeyFile(tmp_path / "keys.json")
    _, key = file.create("app", Role.READ, 0)
    keys = Keys([], file)
    file.path.write_text("[{")
    assert keys.caller(header(key))
    assert keys.caller(header(key))
    assert caplog.text.count("the old ones stay") == 1
    with pytest.raises(ApiKeyError, match=r"keys\.json is no file of API keys: .*fourfold keys create"):
        Keys([], file)
    file.path.unlink()
    assert keys.caller(header(key)) is None


def test_a_process_that_never_saw_a_key_is_closed_where_there_was_one(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    assert not Keys([], file)
    file.create("shop", Role.READ, 0)
    file.revoke("shop")
    assert Keys([], file), "revoked before this process was started"
    assert Keys([], file).caller(b"Bearer x") is None


def test_a_host_that_others_reach_is_closed_without_any_key() -> None:
    assert Keys([], closed=True)
    assert Keys([], closed=True).caller(b"") is None
