"""The model registry: immutable versions of each surface's model, which of them serves, and which served before.

A version is a folder, ``<surface>/v<number>/``, of safetensors and JSON files and a manifest that says what they were
made from and what they must hash to. Versions appear whole; a promotion is the replacement of one small file.
"""

import fcntl
import hashlib
import math
import os
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from fourfold.definition import DefinitionError, Recommender, difference
from fourfold.durable.files import publish, remove_folder, scratch_folder, write_file
from fourfold.training.manifest import Artefact, Manifest

MANIFEST = "manifest.json"
PROMOTIONS = "promotions.json"
SUFFIXES = (".safetensors", ".json")

_SURFACE = re.compile(r"[a-z][a-z0-9_]{0,62}")
_VERSION = re.compile(r"v[1-9][0-9]*")


class RegistryError(Exception):
    """Something that the registry refuses."""


class UnknownVersionError(RegistryError):
    """A surface has no such version; the message lists those it has."""


class CorruptModelError(RegistryError):
    """A version's files are not those that were published."""


class DefinitionMismatch(RegistryError):  # noqa: N818  # it is read as what is wrong, like a status
    """A model was trained for a definition that differs in what its weights depend on."""


class Registry:
    """The versions under one folder. Safe to use from several processes at once.

    Parameters
    ----------
    folder : Path
        Made when the first version is published.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def publish(self, manifest: Manifest, write: Callable[[Path], None]) -> str:
        """Add a version; it appears when all its files are on disk, and never changes. It does not serve until promoted.

        Parameters
        ----------
        manifest : Manifest
            Without `version` and `files`.
        write : callable
            Called with an empty folder, which it fills with ``*.safetensors`` and ``*.json`` files.

        Returns
        -------
        str
            The new version: ``"v1"``, ``"v2"``, ...

        Raises
        ------
        RegistryError
            If the manifest contradicts itself or the folder holds anything but such files; nothing is published.
        """
        _check_manifest(manifest)
        surface = self._surface(manifest.surface)
        with scratch_folder(surface / "new") as scratch:
            write(scratch)
            files = _artefacts(scratch)
            while True:
                version = f"v{max(map(_number, self.versions(manifest.surface)), default=0) + 1}"
                complete = msgspec.structs.replace(manifest, version=version, files=files)
                write_file(scratch / MANIFEST, msgspec.json.format(msgspec.json.encode(complete), indent=2))
                try:
                    publish(scratch, surface / version)
                except FileExistsError:
                    continue  # Another process was faster to take this number.
                return version

    def load(self, surface: str, version: str | None = None) -> tuple[Manifest, Path]:
        """The manifest and the folder of a version, every file checked; without `version`, of the promoted one.

        Raises
        ------
        UnknownVersionError
            If there is no such version, or none is promoted.
        CorruptModelError
            If a file is missing, added or changed.
        """
        if version is None:
            version = self.promoted(surface)
            if version is None:
                raise UnknownVersionError(f"no version of {surface!r} is promoted; promote {self._known(surface)}")
        folder = self._version(surface, version)
        manifest = _read_manifest(folder)
        if (manifest.surface, manifest.version) != (surface, version):
            raise CorruptModelError(
                f"{folder} holds the manifest of {manifest.surface} {manifest.version}; publish the model again"
            )
        _verify(folder, manifest)
        return manifest, folder

    def versions(self, surface: str) -> list[str]:
        """All versions of a surface, oldest first."""
        folder = self._surface(surface)
        names = [path.name for path in folder.iterdir()] if folder.exists() else []
        return sorted((name for name in names if _VERSION.fullmatch(name)), key=_number)

    def promoted(self, surface: str) -> str | None:
        """The version that serves, or None."""
        history = self._promotions(surface)
        return history[-1] if history else None

    def promote(self, surface: str, version: str) -> None:
        """Let a version serve from now on. Its files are checked first.

        Raises
        ------
        UnknownVersionError, CorruptModelError
            As `load`; the promoted version stays.
        """
        self.load(surface, version)
        with self._locked(surface):
            self._version(surface, version)
            history = self._promotions(surface)
            if history[-1:] != [version]:
                self._write_promotions(surface, [*history, version])

    def rollback(self, surface: str) -> str:
        """Let the version serve that was promoted before the present one; returns it.

        Raises
        ------
        RegistryError
            If there was none.
        """
        with self._locked(surface):
            history = self._promotions(surface)
            if len(history) < 2:
                raise RegistryError(f"{surface!r} has no earlier promotion; promote {self._known(surface)}")
            self._version(surface, history[-2])
            self._write_promotions(surface, history[:-1])
            return history[-2]

    def prune(self, surface: str, keep: int, needed: Collection[str] = ()) -> list[str]:
        """Delete all versions but the newest `keep`, those `needed`, the promoted one and the one before; returns the deleted.

        Parameters
        ----------
        surface : str
            Whose versions.
        keep : int
            At least 1: the newest stays, so that no version number is ever used twice.
        needed : collection of str
            Versions that stay in any case.
        """
        if keep < 1:
            raise ValueError(f"keep={keep} would delete the newest version; keep at least 1")
        with self._locked(surface):
            history = self._promotions(surface)
            stay = {*history[-2:], *needed}
            gone = [version for version in self.versions(surface)[:-keep] if version not in stay]
            kept = [version for version in history if version not in gone]
            if kept != history:
                self._write_promotions(surface, kept)
            for version in gone:
                remove_folder(self._surface(surface) / version)
        return gone

    def _surface(self, surface: str) -> Path:
        if not _SURFACE.fullmatch(surface):
            raise RegistryError(f"{surface!r} names no surface; write lower-case letters, digits and underscores")
        return self.folder / surface

    def _version(self, surface: str, version: str) -> Path:
        if version not in self.versions(surface):
            raise UnknownVersionError(f"{surface!r} has no version {version!r}; write {self._known(surface)}")
        return self._surface(surface) / version

    def _known(self, surface: str) -> str:
        versions = self.versions(surface)
        return f"one of: {', '.join(versions)}" if versions else "one after it is published: there is none yet"

    def _promotions(self, surface: str) -> list[str]:
        path = self._surface(surface) / PROMOTIONS
        try:
            return msgspec.json.decode(path.read_bytes(), type=list[str])
        except FileNotFoundError:
            return []
        except msgspec.DecodeError as error:
            raise RegistryError(f"{path} is damaged ({error}); remove it, and promote {self._known(surface)}") from None

    def _write_promotions(self, surface: str, history: list[str]) -> None:
        write_file(self._surface(surface) / PROMOTIONS, msgspec.json.encode(history))

    @contextmanager
    def _locked(self, surface: str) -> Iterator[None]:
        """Hold the surface's lock: promotions and prunings happen one after the other, over all processes."""
        folder = self._surface(surface)
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def check(definition: Recommender, manifest: Manifest) -> None:
    """Make sure that a model's weights fit a definition; what they do not depend on may differ.

    Raises
    ------
    DefinitionMismatch
        With a line for each difference, from what the model was trained for to what `definition` says.
    """
    if manifest.trained_hash == definition.trained_hash:
        return
    which = f"{manifest.surface} {manifest.version} was trained for another definition than the present one"
    try:
        trained = Recommender.from_dict(manifest.definition).trained_parts()
    except DefinitionError as error:
        raise DefinitionMismatch(f"{which}, one that is not valid any more ({error}); train it again") from None
    changes = "".join(f"\n  {line}" for line in difference(trained, definition.trained_parts()))
    raise DefinitionMismatch(f"{which}:{changes}\ntrain it again, or take these changes back")


def _number(version: str) -> int:
    return int(version[1:])


def _check_manifest(manifest: Manifest) -> None:
    try:
        definition = Recommender.from_dict(manifest.definition)
    except DefinitionError as error:
        raise RegistryError(f"manifest.definition is not valid: {error}; write Recommender.to_dict()") from None
    for field, expected in (
        ("surface", definition.surface),
        ("definition_hash", definition.hash),
        ("trained_hash", definition.trained_hash),
        ("version", ""),
        ("files", {}),
    ):
        if getattr(manifest, field) != expected:
            raise RegistryError(f"manifest.{field} is {getattr(manifest, field)!r}; write {expected!r}")
    figures = [(f"metrics[{name!r}]", value) for name, value in manifest.metrics.items()]
    figures += [(f"intervals[{name!r}]", end) for name, ends in manifest.intervals.items() for end in ends]
    for name, value in figures:
        if value is not None and not math.isfinite(value):
            raise RegistryError(f"manifest.{name} is {value}; write None where a metric is undefined")


def _artefacts(folder: Path) -> dict[str, Artefact]:
    files: dict[str, Artefact] = {}
    for path in sorted(folder.iterdir()):
        if path.name == MANIFEST or path.suffix not in SUFFIXES or path.is_symlink() or not path.is_file():
            raise RegistryError(
                f"{path.name!r} cannot be part of a version; write plain files named "
                f"{' or '.join('*' + suffix for suffix in SUFFIXES)}, other than {MANIFEST}"
            )
        files[path.name] = _artefact(path)
    return files


def _artefact(path: Path) -> Artefact:
    with path.open("rb") as file:
        return Artefact(sha256=hashlib.file_digest(file, "sha256").hexdigest(), size=path.stat().st_size)


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise CorruptModelError(f"{path} is missing; publish the model again") from None
    except msgspec.DecodeError as error:
        raise CorruptModelError(f"{path} is damaged ({error}); publish the model again") from None


def _verify(folder: Path, manifest: Manifest) -> None:
    present = {path.name for path in folder.iterdir()} - {MANIFEST}
    for name in sorted(present ^ manifest.files.keys()):
        what = "was added to it" if name in present else "is missing"
        raise CorruptModelError(f"{folder}: {name} {what}; publish the model again")
    for name, published in manifest.files.items():
        if _artefact(folder / name) != published:
            raise CorruptModelError(
                f"{folder}: {name} is not what was published (size or SHA-256 differ); publish the model again"
            )
