"""Keys as they lie in a home: digests in a file of the owner's, changed by one command at a time."""

import stat
import threading
from itertools import pairwise
from pathlib import Path

import pytest

from fourfold.api.key_file import ApiKeyError, KeyFile, digest_of
from fourfold.api.roles import Role

HOUR = 3_600_000


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "home" / "keys.json")


def test_only_a_digest_is_stored_and_only_the_owner_reads_it(file: KeyFile) -> None:
    stored, key = file.create("app", Role.WRITE, 5, expires=7)
    assert file.read() == [stored]
    assert (stored.name, stored.role, stored.created, stored.expires) == ("app", Role.WRITE, 5, 7)
    assert stored.digest == digest_of(key.encode())
    assert len(key.rpartition(stored.id)[2]) > 43, "256 bits are 43 characters of base 64"
    assert key.rpartition("_")[2] not in file.path.read_text()
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    file.create("other", Role.READ, 5)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


def test_a_file_that_is_not_there_holds_no_keys(file: KeyFile) -> None:
    assert file.read() == []
    assert file.stamp is None


def test_every_change_changes_the_stamp(file: KeyFile) -> None:
    stamps = [file.stamp]
    for name in ("a", "b", "c"):
        file.create(name, Role.READ, 0)
        stamps.append(file.stamp)
    file.revoke("c")
    stamps.append(file.stamp)
    assert all(one != other for one, other in pairwise(stamps))


@pytest.mark.parametrize("name", ["", " ", "a b", "-x", "a\nb", "x" * 65, "käse"])
def test_names_are_plain(file: KeyFile, name: str) -> None:
    with pytest.raises(ApiKeyError, match="is no name of a key; write 1 to 64"):
        file.create(name, Role.READ, 0)
    assert file.read() == []


def test_a_name_is_taken_until_its_key_has_expired(file: KeyFile) -> None:
    file.create("app", Role.READ, 0, expires=HOUR)
    with pytest.raises(ApiKeyError, match="named 'app' already; replace it with `fourfold keys rotate app`"):
        file.create("app", Role.READ, HOUR - 1)
    file.create("app", Role.READ, HOUR)


def test_a_rotated_key_lives_on_for_a_while_beside_the_new_one(file: KeyFile) -> None:
    first, old = file.create("app", Role.WRITE, 0)
    second, new = file.rotate("app", 10, HOUR)
    assert old != new
    assert (second.role, second.expires) == (Role.WRITE, None)
    assert [(key.id, key.expires) for key in file.read()] == [(first.id, 10 + HOUR), (second.id, None)]
    file.rotate("app", 20, HOUR)
    assert file.read()[0].expires == 10 + HOUR, "a second rotation must not prolong the first key"
    with pytest.raises(ApiKeyError, match="no valid key is named 'nobody'"):
        file.rotate("nobody", 0, HOUR)


def test_a_rotated_key_lives_as_long_as_the_one_before_it(file: KeyFile) -> None:
    file.create("app", Role.READ, 0, 90 * HOUR)
    assert file.rotate("app", 30 * HOUR, HOUR)[0].expires == 120 * HOUR


def test_a_key_is_revoked_by_id_or_with_all_of_its_name(file: KeyFile) -> None:
    first, _ = file.create("app", Role.READ, 0)
    second, _ = file.rotate("app", 10, HOUR)
    third, _ = file.create("other", Role.READ, 0)
    assert [key.id for key in file.revoke(second.id)] == [second.id]
    file.rotate("app", 20, HOUR)
    assert len(file.revoke("app")) == 2
    assert file.read() == [third]
    with pytest.raises(ApiKeyError, match="no key has the id or name 'app'"):
        file.revoke("app")
    assert first not in file.read()


def test_commands_at_the_same_time_lose_no_key(file: KeyFile) -> None:
    threads = [threading.Thread(target=file.create, args=(f"app{number}", Role.READ, 0)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key.name for key in file.read()} == {f"app{number}" for number in range(12)}
