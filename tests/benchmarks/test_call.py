import sys
from pathlib import Path

import pytest

from benchmarks.peers import call as calls
from benchmarks.peers.call import PeerMissingError, call
from fourfold.lab.benchmark import BenchmarkError

DOUBLE = """
import json, pathlib, sys
print("noise")
asked = json.loads(pathlib.Path(sys.argv[1]).read_text())
pathlib.Path(sys.argv[2]).write_text(json.dumps({"twice": 2 * asked["number"], "path": asked["path"]}))
"""


@pytest.fixture(autouse=True)
def _scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "double.py").write_text(DOUBLE)
    (tmp_path / "broken.py").write_text("raise SystemExit('no such table')")
    (tmp_path / "silent.py").write_text("")
    monkeypatch.setattr(calls, "PEERS", tmp_path)


def test_a_script_answers(tmp_path: Path) -> None:
    request = {"number": 21, "path": tmp_path}
    answer = call("json", "double", request, tmp_path, python=Path(sys.executable))
    assert answer == {"twice": 42, "path": str(tmp_path)}


@pytest.mark.parametrize("python", [Path(sys.executable), Path("/nowhere/python")])
def test_a_peer_that_is_not_installed(python: Path, tmp_path: Path) -> None:
    with pytest.raises(PeerMissingError, match=r"^no_such_peer is not installed: run make bench-env$"):
        call("no_such_peer", "double", {}, tmp_path, python=python)


@pytest.mark.parametrize(("script", "message"), [("broken", "exit code 1.*no such table"), ("silent", "exit code 0")])
def test_a_script_that_fails_is_quoted(script: str, message: str, tmp_path: Path) -> None:
    (tmp_path / f"{script}.answer.json").write_text("{}")
    with pytest.raises(BenchmarkError, match=message):
        call("json", script, {}, tmp_path, python=Path(sys.executable))
