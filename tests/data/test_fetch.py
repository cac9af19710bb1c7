import hashlib
import io
import subprocess
import zipfile
from pathlib import Path

import pytest

from fourfold.data import fetch
from fourfold.data.movielens import movielens_reader
from fourfold.data.reading import DataError
from tests.data.samples import atomic, official, read

NOWHERE = "https://127.0.0.1:9/ml-100k.zip"


def zipped(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


@pytest.fixture
def archive(tmp_path: Path) -> bytes:
    folder = official(tmp_path / "source")
    files = {f"ml-100k/{path.name}": path.read_bytes() for path in folder.iterdir()}
    return zipped(files | {"../evil": b"x", "ml-100k/../../evil": b"x"})


@pytest.fixture
def served(archive: bytes, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    timeouts: list[float] = []

    def opened(url: str, timeout: float) -> io.BytesIO:
        timeouts.append(timeout)
        return io.BytesIO(archive)

    monkeypatch.setattr("urllib.request.urlopen", opened)
    return timeouts


def no_pip(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess([], 1, "", "ERROR: No matching distribution")


def test_the_archive_is_checked_and_only_what_is_asked_for_is_taken(
    tmp_path: Path, archive: bytes, served: list[float]
) -> None:
    said: list[str] = []
    folder = fetch.movielens_100k(tmp_path / "cache", said.append, sha256=hashlib.sha256(archive).hexdigest())
    assert sorted(path.name for path in folder.iterdir()) == ["u.data", "u.item", "u.user"]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["ml-100k"]
    assert not list(tmp_path.rglob("evil"))
    assert len(read(movielens_reader(folder))[0]) == 10
    assert served == [fetch.TIMEOUT_S]
    again: list[str] = []
    assert fetch.movielens_100k(tmp_path / "cache", again.append) == folder
    assert (len(served), again) == (1, [f"using {folder}"])


def test_a_changed_archive_is_refused_and_nothing_is_left(
    tmp_path: Path, served: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subprocess.run", no_pip)
    with pytest.raises(DataError, match=r"SHA-256 is .*No matching distribution.*--from"):
        fetch.movielens_100k(tmp_path / "cache", lambda _: None)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_download_without_end_is_broken_off(
    tmp_path: Path, archive: bytes, served: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subprocess.run", no_pip)
    monkeypatch.setattr(fetch, "LARGEST_ARCHIVE", 100)
    with pytest.raises(DataError, match="not the archive that was asked for"):
        fetch.movielens_100k(tmp_path, lambda _: None, sha256=hashlib.sha256(archive).hexdigest())


def test_offline_it_comes_out_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = atomic(tmp_path / "source")
    wheel = zipped({f"recbole/dataset_example/ml-100k/ml-100k{p.suffix}": p.read_bytes() for p in source.iterdir()})

    def pip(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        assert command[1:4] == ["-m", "pip", "download"]
        assert "--no-deps" in command
        (Path(command[command.index("--dest") + 1]) / "recbole-1.2.1-py3-none-any.whl").write_bytes(wheel)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr("subprocess.run", pip)
    said: list[str] = []
    folder = fetch.movielens_100k(tmp_path / "cache", said.append, url=NOWHERE)
    assert len(read(movielens_reader(folder))[0]) == 4
    assert any(line.startswith("that did not work") for line in said)


def test_only_https(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subprocess.run", no_pip)
    with pytest.raises(DataError, match="file:///etc/passwd is not an https address"):
        fetch.movielens_100k(tmp_path, lambda _: None, url="file:///etc/passwd")


def test_what_is_too_large_or_missing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zipped({"a/b": b"12345"}))
    monkeypatch.setattr(fetch, "LARGEST_FILE", 4)
    with pytest.raises(DataError, match="a/b would be 5 bytes; at most 4"):
        fetch.extract(path, ["a/b"], tmp_path)
    with pytest.raises(DataError, match=r"a\.zip lacks c"):
        fetch.extract(path, ["c"], tmp_path)
