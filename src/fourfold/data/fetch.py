"""Gets MovieLens-100k: from GroupLens, else out of the RecBole package, which carries it; into a cache folder of the caller.

The data are GroupLens's, for research, not to be sold (https://grouplens.org/datasets/movielens/100k/): never part of this
package.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from fourfold.data.reading import DataError

URL = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
SHA256 = "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229"  # pragma: allowlist secret
PACKAGE = "recbole==1.2.1"
TIMEOUT_S = 5.0
PIP_TIMEOUT_S = 120.0
LARGEST_ARCHIVE = 32 << 20
LARGEST_FILE = 64 << 20

OFFICIAL = ("ml-100k/u.data", "ml-100k/u.item", "ml-100k/u.user")
PACKAGED = tuple(f"recbole/dataset_example/ml-100k/ml-100k.{suffix}" for suffix in ("inter", "item", "user"))

Report = Callable[[str], None]


def movielens_100k(cache: Path, report: Report, *, url: str = URL, sha256: str = SHA256) -> Path:
    """A folder with MovieLens-100k that `movielens_reader` reads; nothing is fetched when `cache` holds it already.

    Parameters
    ----------
    cache : Path
        Where it is kept; made where it is missing.
    report : callable
        Told in words what is tried and what came of it.

    Raises
    ------
    DataError
        If no way works; the message says what each met, and what to do instead.
    """
    target = cache / "ml-100k"
    if target.is_dir():
        report(f"using {target}")
        return target
    cache.mkdir(parents=True, exist_ok=True)
    failures = []
    for where, fetch in (
        (url, lambda folder: _from_grouplens(folder, report, url, sha256)),
        (f"the package {PACKAGE}", lambda folder: _from_package(folder, report)),
    ):
        report(f"fetching MovieLens-100k from {where}")
        try:
            return _placed(fetch, target)
        except (OSError, subprocess.SubprocessError, zipfile.BadZipFile, DataError) as error:
            failures.append(f"{where}: {error}")
            report(f"that did not work: {error}")
    raise DataError(
        "MovieLens-100k could not be fetched (" + "; ".join(failures) + "). Download ml-100k.zip by hand, unpack it, and "
        "pass its folder with --from"
    )


def _placed(fetch: Callable[[Path], None], target: Path) -> Path:
    """Fetch beside the target and move the whole into place, so that a broken attempt leaves nothing."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as temporary:
        folder = Path(temporary) / target.name
        folder.mkdir()
        fetch(folder)
        folder.rename(target)
    return target


def _from_grouplens(folder: Path, report: Report, url: str, sha256: str) -> None:
    archive = folder.parent / "ml-100k.zip"
    _download(url, archive, report)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != sha256:
        raise DataError(f"the archive's SHA-256 is {digest}, expected {sha256}: it is damaged or has changed")
    extract(archive, OFFICIAL, folder)


def _download(url: str, archive: Path, report: Report) -> None:
    if not url.startswith("https://"):
        raise DataError(f"{url} is not an https address")
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response, archive.open("wb") as file:  # noqa: S310  # https, checked
        done = 0
        while block := response.read(1 << 20):
            done += len(block)
            if done > LARGEST_ARCHIVE:
                raise DataError(f"more than {LARGEST_ARCHIVE >> 20} MB: not the archive that was asked for")
            file.write(block)
            report(f"{done >> 10:,} KB")


def _from_package(folder: Path, report: Report) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--no-input", "--dest", str(folder.parent), PACKAGE]
    report("asking the package index: pip " + " ".join(command[3:]))
    done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_TIMEOUT_S, check=False)
    wheels = sorted(folder.parent.glob("*.whl"))
    if done.returncode or not wheels:
        lines = done.stderr.strip().splitlines() or ["no wheel came"]
        raise DataError(f"pip download failed: {lines[-1]}")
    extract(wheels[0], PACKAGED, folder)


def extract(archive: Path, members: Sequence[str], folder: Path) -> None:
    """Take `members` out of a zip file into `folder`, flat, whatever else the archive holds.

    Raises
    ------
    DataError
        If one is missing, or larger than it may be.
    """
    with zipfile.ZipFile(archive) as opened:
        there = {info.filename: info for info in opened.infolist()}
        for member in members:
            if member not in there:
                raise DataError(f"{archive.name} lacks {member}")
            _copy(opened, there[member], folder / PurePosixPath(member).name)


def _copy(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    if member.file_size > LARGEST_FILE:
        raise DataError(f"{member.filename} would be {member.file_size:,} bytes; at most {LARGEST_FILE:,} are taken")
    with archive.open(member) as source, path.open("wb") as target:
        shutil.copyfileobj(source, target)
        target.flush()
        os.fsync(target.fileno())
