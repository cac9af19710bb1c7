"""Names appear whole or not at all, and leave nothing behind when they do not."""

from pathlib import Path

import pytest

from fourfold.durable.files import publish, remove_folder, scratch_folder, write_file


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_file(tmp_path / "a", b"old")
    write_file(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_file(tmp_path / "a", b"old")

    def fail(descriptor: int) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="the disk is gone"):
        write_file(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_appears_with_all_it_holds(tmp_path: Path) -> None:
    with scratch_folder(tmp_path / "deep" / "new") as scratch:
        (scratch / "sub").mkdir()
        (scratch / "sub" / "file").write_bytes(b"1")
        assert not (tmp_path / "deep" / "new").exists()
        publish(scratch, tmp_path / "deep" / "new")
    assert (tmp_path / "deep" / "new" / "sub" / "file").read_bytes() == b"1"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["new"]


def test_everything_is_synced_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr("fourfold.durable.files.sync", synced.append)
    target = tmp_path / "new"
    with scratch_folder(target) as scratch:
        (scratch / "sub").mkdir()
        (scratch / "sub" / "file").write_bytes(b"1")
        publish(scratch, target)
    assert set(synced) == {scratch, scratch / "sub", scratch / "sub" / "file", tmp_path}
    assert synced[-1] == tmp_path


def test_a_scratch_folder_that_is_not_published_goes(tmp_path: Path) -> None:
    def fill() -> None:
        with scratch_folder(tmp_path / "new") as scratch:
            (scratch / "file").write_bytes(b"1")
            raise KeyError("no")

    with pytest.raises(KeyError):
        fill()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_name_that_is_taken_is_not_given_again(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "new"
    if kind == "folder":
        target.mkdir()
        (target / "old").write_bytes(b"1")
    else:
        target.write_bytes(b"1")
    with scratch_folder(target) as scratch:
        (scratch / "file").write_bytes(b"1")
        with pytest.raises(FileExistsError, match="exists already"):
            publish(scratch, target)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert kind == "file" or (target / "old").exists()


def test_a_removed_folder_is_gone(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_bytes(b"1")
    remove_folder(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []
