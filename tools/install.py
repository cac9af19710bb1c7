"""Makes .venv and installs Fourfold into it from pinned versions. Standard library only: it runs before anything is there.

Torch comes first, because the build that PyPI offers on Linux brings gigabytes of CUDA: where a CPU build can be had, it is
taken, and where not, the install goes on with what pip offers.
"""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / "constraints.txt"
OLDEST = (3, 11)
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
OPEN_BANDIT = "obp==0.4.1"
"""Carries the sample of the Open Bandit Dataset that tests read. Nobody imports it, so its dependencies stay away."""

CPU_SECONDS = 10
"""How long the index of CPU builds may be silent before the install goes on without it."""

_CUDA = re.compile(r"(nvidia|cuda)[-_]", re.IGNORECASE)
_WORTH_SHOWING = ("Collecting", "Downloading", "Installing", "Building", "Preparing")
_EVERY_SECONDS = 15.0
_LAST_LINES = 25


class InstallError(RuntimeError):
    """The install cannot go on; the message says what to do."""


def main() -> None:
    """Install into the folder that the first argument names, ``.venv`` by default."""
    try:
        install(Path(sys.argv[1] if len(sys.argv) > 1 else ".venv"))
    except InstallError as error:
        sys.exit(f"error: {error}")


def install(folder: Path) -> None:
    """Make the environment and fill it; what is there already is used again."""
    check_python(sys.version_info[:2], has_venv=find_spec("venv") is not None and find_spec("ensurepip") is not None)
    python = _environment(folder)
    _install_torch(python)
    say("the other dependencies, as pinned in constraints.txt")
    pip(python, "install", "--constraint", str(CONSTRAINTS), "setuptools")
    pip(python, "install", "--constraint", str(CONSTRAINTS), "--no-build-isolation", "--editable", f"{ROOT}[dev,docs]")
    pip(python, "install", "--no-deps", OPEN_BANDIT)
    say(f"done: {folder}/bin/fourfold")


def check_python(version: tuple[int, ...], *, has_venv: bool) -> None:
    """Refuse a Python that cannot do it.

    Raises
    ------
    InstallError
        If it is too old, or was installed without its venv module.
    """
    if version < OLDEST:
        needed, found = (".".join(map(str, numbers)) for numbers in (OLDEST, version))
        raise InstallError(f"Python {found} is too old: {needed} or newer is needed; name one with make PYTHON=python{needed}")
    if not has_venv:
        raise InstallError("this Python has no venv module; on Debian and Ubuntu: apt install python3-venv")


def torch_pin(constraints: str) -> str:
    """The requirement for torch that a constraints file pins."""
    found = re.search(r"^torch==\S+", constraints, re.MULTILINE)
    if found is None:
        raise InstallError(f"{CONSTRAINTS} does not pin torch; write a line such as torch==2.13.0")
    return found[0]


def wants_cuda(requirements: Iterable[str], system: str) -> bool:
    """Whether a build with these requirements brings CUDA along on this system."""
    return system == "Linux" and any(_CUDA.match(requirement) for requirement in requirements if "extra ==" not in requirement)


def _environment(folder: Path) -> Path:
    """The Python of the environment, made unless a working one is there."""
    python = folder / "bin" / "python"
    if python.exists() and subprocess.run([python, "-m", "pip", "--version"], check=False, capture_output=True).returncode == 0:
        say(f"using the environment in {folder}")
        return python
    say(f"making {folder} with Python {platform.python_version()}")
    done = subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=False, capture_output=True, text=True)
    if done.returncode:
        raise InstallError(f"python -m venv failed; on Debian and Ubuntu: apt install python3-venv\n{done.stdout}{done.stderr}")
    return python


def _install_torch(python: Path) -> None:
    pin = torch_pin(CONSTRAINTS.read_text())
    offer = _offered(python, pin)
    if offer is None:
        return
    version, requirements = offer
    if not wants_cuda(requirements, platform.system()):
        say(f"torch {version}")
    elif _taken_from_cpu_wheels(python, pin):
        return
    else:
        say(f"torch {version}; no CPU build can be reached, so its CUDA packages come too: this takes a while")
    pip(python, "install", pin, "--constraint", str(CONSTRAINTS))


def _offered(python: Path, pin: str) -> tuple[str, list[str]] | None:
    """Version and requirements of the torch that pip would take; None if it is installed already."""
    output = _asked(python, "install", "--quiet", "--dry-run", "--no-deps", "--report", "-", pin)
    installs = json.loads(output)["install"]
    if not installs:
        return None
    metadata = installs[0]["metadata"]
    return metadata["version"], metadata.get("requires_dist", [])


def _taken_from_cpu_wheels(python: Path, pin: str) -> bool:
    say(f"torch: pip offers a build with CUDA; asking {CPU_WHEELS} for one without")
    patience = ("--timeout", str(CPU_SECONDS), "--retries", "0")
    try:
        pip(python, "install", "--no-deps", "--index-url", CPU_WHEELS, *patience, pin)
    except InstallError:
        return False
    return True


def pip(python: Path, *arguments: str) -> None:
    """Run pip and show what it works on; all that it said is shown only if it fails.

    Raises
    ------
    InstallError
        If it fails.
    """
    command, progress = _command(python, arguments), _Progress()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        lines = [progress(line) for line in process.stdout]
    progress.clear()
    if process.returncode:
        raise _failed(arguments, "".join(lines))


def _asked(python: Path, *arguments: str) -> str:
    """What pip answers on its standard output; its warnings are for nobody."""
    done = subprocess.run(_command(python, arguments), check=False, capture_output=True, text=True)
    if done.returncode:
        raise _failed(arguments, done.stdout + done.stderr)
    return done.stdout


def _command(python: Path, arguments: Iterable[str]) -> list[str]:
    return [str(python), "-m", "pip", "--no-input", "--disable-pip-version-check", *arguments]


def _failed(arguments: Iterable[str], said: str) -> InstallError:
    last = "\n".join(said.splitlines()[-_LAST_LINES:])
    return InstallError(f"pip {' '.join(arguments)} failed; it said last:\n{last}")


class _Progress:
    """One line that changes on a terminal; elsewhere a line now and then."""

    def __init__(self) -> None:
        self._terminal, self._last = sys.stderr.isatty(), time.monotonic()

    def __call__(self, line: str) -> str:
        if line.lstrip().startswith(_WORTH_SHOWING):
            self._show(line.strip())
        return line

    def clear(self) -> None:
        """Leave an empty line where the last one was."""
        if self._terminal:
            sys.stderr.write("\r\033[K")

    def _show(self, text: str) -> None:
        if self._terminal:
            width = shutil.get_terminal_size().columns - 4
            sys.stderr.write(f"\r\033[K    {text[:width]}")
        elif time.monotonic() - self._last > _EVERY_SECONDS:
            self._last = time.monotonic()
            sys.stderr.write(f"    {text[:120]}\n")
        sys.stderr.flush()


def say(message: str) -> None:
    """A line about what happens."""
    sys.stderr.write(f"install: {message}\n")


if __name__ == "__main__":
    main()
