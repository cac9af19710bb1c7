"""Files and folders that appear whole or not at all: written under a temporary name, synced, then renamed.

Whoever reads a name that is published sees everything that was written before it got that name, even after a power cut.
"""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_file(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Replace the file at `path` by `data` in one step; returns when that is on disk. Its folder is made if it is missing.

    Nobody whom `mode` (less the process's umask) keeps out can read the file at any moment.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)


@contextmanager
def scratch_folder(beside: Path) -> Iterator[Path]:
    """A new hidden folder in the parent of `beside`, to fill and then `publish`; what is not published is removed."""
    temporary = _temporary(beside)
    temporary.mkdir(parents=True)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def publish(scratch: Path, target: Path) -> None:
    """Sync a scratch folder with all it holds and give it its name; returns when that is on disk.

    Raises
    ------
    FileExistsError
        If a file or a folder that is not empty has that name already.
    """
    for folder, _, files in os.walk(scratch):
        for name in files:
            sync(Path(folder, name))
        sync(Path(folder))
    try:
        scratch.rename(target)
    except (FileExistsError, NotADirectoryError):
        raise FileExistsError(f"{target} exists already") from None
    except OSError as error:
        if target.exists():
            raise FileExistsError(f"{target} exists already") from error
        raise
    sync(target.parent)


def remove_folder(folder: Path) -> None:
    """Take a folder's name away in one step, then delete what it holds: nobody sees it half deleted."""
    temporary = _temporary(folder)
    folder.rename(temporary)
    sync(folder.parent)
    shutil.rmtree(temporary)


def sync(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
