from pathlib import Path

import pytest

from fourfold.cli import console
from tests.cli.commands import Cli


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """The width of no terminal, whatever the test runner's own environment says."""
    for one in (console.out, console.err):
        monkeypatch.setattr(one, "width", console.PLAIN_WIDTH)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Commands on a home that does not exist yet."""
    return Cli(tmp_path / "home", monkeypatch, capsys)
