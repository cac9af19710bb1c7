"""Runs the commands that the documentation shows, so that none of them can go stale.

The ``sh`` blocks of a page run in order in one bash, in a copy of the checkout and with a home of their own. A block whose
preceding line is a comment ``<!-- not run: REASON -->`` is left out. Port 8000 is replaced by a free one.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 600
PORT = "8000"

_BLOCK = re.compile(r"(?P<skip><!-- not run: .+? -->\n)?^```sh\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
_LEFT = (".venv*", ".git", "site", "build", "fourfold-home", ".*cache", "__pycache__", ".hypothesis", "*.egg-info")


def commands(page: str) -> list[str]:
    """The blocks of a page that are to be run."""
    return [match["code"] for match in _BLOCK.finditer(page) if not match["skip"]]


def script(page: str, port: int) -> str:
    """A page as one bash script, which says what it runs and stops at the first failure."""
    return "set -euxo pipefail\n" + "\n".join(commands(page)).replace(PORT, str(port))


def run(page: Path, folder: Path) -> int:
    """Run a page in a new folder; returns the exit code of its script."""
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*_LEFT))
    (folder / ".venv").symlink_to(ROOT / ".venv")
    home, path = folder / "home-of-the-user", f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FOURFOLD_", "MAKE"))}
    environment = kept | {"HOME": str(home), "PATH": path, "COLUMNS": "120"}
    command = ["bash", "-c", script(page.read_text(), _free_port())]
    with subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True) as process:
        try:
            return process.wait(SECONDS)
        finally:
            _end(process.pid)


def main() -> None:
    """Run the pages that the arguments name."""
    for name in sys.argv[1:]:
        sys.stderr.write(f"run_docs: {name}\n")
        with tempfile.TemporaryDirectory(prefix="fourfold-docs-") as folder:
            code = run(ROOT / name, Path(folder) / "fourfold")
        if code:
            sys.exit(f"run_docs: a command of {name} failed with exit code {code}; the last one shown above is it")


def _end(group: int) -> None:
    """End what a page left running, such as a service."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
