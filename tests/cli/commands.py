"""Runs commands inside the test's process, as `main` runs them, and takes what they print."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fourfold.cli.main import main


@dataclass(frozen=True)
class Answer:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output, which must be one JSON document and nothing else."""
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The one line that a failed command leaves on standard error."""
        assert (self.code, self.out) == (1, ""), self
        assert "Traceback" not in self.err
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.err
        assert self.err.rstrip().endswith(lines[0]), self.err
        return lines[0]


@dataclass(frozen=True)
class Cli:
    """Commands on one home."""

    home: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: object) -> Answer:
        """Run a command."""
        self.monkeypatch.setenv("FOURFOLD_HOME", str(self.home))
        self.monkeypatch.setattr(sys, "argv", ["fourfold", *map(str, arguments)])
        self.capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        printed = self.capsys.readouterr()
        return Answer(code, printed.out, printed.err)

    def ok(self, *arguments: object) -> Answer:
        """Run a command that must succeed."""
        answer = self(*arguments)
        assert answer.code == 0, answer
        return answer
