"""Calls a script of this folder with the Python of the peers' environment: peers never share ours, for they may conflict.

A script takes two arguments: the path of a JSON request, and that of the JSON answer that it writes. Tables go as Parquet or
Arrow files that the request names. What it prints is shown only if it fails.
"""

import subprocess
from pathlib import Path
from typing import Any

import msgspec

from fourfold.lab.benchmark import BenchmarkError

PEERS = Path(__file__).resolve().parent
PYTHON = PEERS.parents[1] / ".venv-bench" / "bin" / "python"
_FIND = "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)"


class PeerMissingError(RuntimeError):
    """A peer is not installed; the message says how to get it."""


def call(peer: str, script: str, request: object, folder: Path, *, python: Path = PYTHON) -> dict[str, Any]:
    """The answer of ``benchmarks/peers/SCRIPT.py`` to a request.

    Parameters
    ----------
    peer : str
        The package that the script needs, such as ``"feast"``.
    request : object
        What JSON can say; paths in it become text.
    folder : Path
        Where the request and the answer are written.

    Raises
    ------
    PeerMissingError
        If the peer is not installed.
    BenchmarkError
        If the script fails; the message holds the end of what it printed.
    """
    if not (python.exists() and subprocess.run([python, "-c", _FIND, peer], check=False).returncode == 0):
        raise PeerMissingError(f"{peer} is not installed: run make bench-env")
    asked, answered = folder / f"{script}.request.json", folder / f"{script}.answer.json"
    asked.write_bytes(msgspec.json.encode(request, enc_hook=str))
    answered.unlink(missing_ok=True)
    command = [python, PEERS / f"{script}.py", asked, answered]
    done = subprocess.run(command, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode or not answered.exists():
        raise BenchmarkError(f"{script}.py ended with exit code {done.returncode}; it printed: {done.stdout[-2000:]}")
    answer: dict[str, Any] = msgspec.json.decode(answered.read_bytes())
    return answer
