"""The command line as a process: help is light, errors are one line, JSON is one document."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fourfold import __version__
from tests.cli.commands import Cli

HEAVY = ("torch", "pyarrow", "pydantic", "sklearn", "scipy", "numpy", "fastapi", "lmdb")


def test_help_imports_nothing_heavy() -> None:
    program = f"""
import sys
sys.argv = ["fourfold", "--help"]
from fourfold.cli.main import main
try:
    main()
except SystemExit as end:
    assert end.code in (0, None), end.code
print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stderr.strip() == "[]"
    for command in ("define", "import", "train", "evaluate", "recommend", "serve", "status", "demo", "events", "models"):
        assert command in done.stdout


def test_an_error_of_a_real_process_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fourfold", "status", "--home", str(tmp_path / "no [home]"), "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr
        == f"error: there is no home at {tmp_path}/no [home]; `fourfold define` makes one, or name another with --home\n"
    )
    assert not list(tmp_path.iterdir())


def test_version(cli: Cli) -> None:
    assert cli.ok("version").out == f"{__version__}\n"


@pytest.mark.parametrize("group", ["events", "models", "recommend"])
def test_every_group_has_help(cli: Cli, group: str) -> None:
    assert "Usage" in cli.ok(group, "--help").out


def test_a_wrong_option_is_a_usage_error(cli: Cli) -> None:
    assert cli("define", "--nonsense").code == 2
    assert cli("train", "feed", "--holdout", "2").code == 2


def test_an_unexpected_error_keeps_its_traceback(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("fourfold.cli.datasets.definition_from", broken)
    with pytest.raises(ZeroDivisionError):
        cli("define", "movielens")


def test_json_of_a_real_process(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fourfold", "define", "movielens", "--home", str(tmp_path), "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert json.loads(done.stdout)["surface"] == "feed"
