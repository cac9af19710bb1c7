from pathlib import Path

import pytest

from tests.cli.commands import Cli


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Commands on a home that does not exist yet."""
    return Cli(tmp_path / "home", monkeypatch, capsys)
