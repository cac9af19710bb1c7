"""Documented commands: which are run, that a failing one is noticed, and that nothing is left running."""

import os
import time
from pathlib import Path

import pytest

from tools import run_docs

PAGE = """
```sh
echo one > first
```

```text
false
```

<!-- not run: it takes a day -->
```sh
false
```

```sh
cat first
curl localhost:8000
```
"""


def test_shell_blocks_are_commands_unless_a_reason_is_given() -> None:
    assert run_docs.commands(PAGE) == ["echo one > first\n", "cat first\ncurl localhost:8000\n"]


def test_the_port_is_a_free_one() -> None:
    assert "curl localhost:4711" in run_docs.script(PAGE, 4711)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "checkout"
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / "fourfold-home").mkdir()
    (root / "here.txt").write_text("here")
    monkeypatch.setattr(run_docs, "ROOT", root)
    return root


@pytest.mark.parametrize(
    ("code", "fails"),
    [
        ("cat here.txt\ntest ! -e fourfold-home\ntest -e .venv/bin", False),
        ("echo changed > here.txt", False),
        ("false\ntrue", True),
        ("false | true", True),
        ("echo $FOURFOLD_HOME", True),
    ],
)
def test_a_page_runs_in_a_copy_and_stops_at_the_first_failure(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, fails: bool
) -> None:
    monkeypatch.setenv("FOURFOLD_HOME", "/of/the/developer")
    page = tmp_path / "page.md"
    page.write_text(f"```sh\n{code}\n```\n")
    assert bool(run_docs.run(page, tmp_path / "run")) is fails
    assert (checkout / "here.txt").read_text() == "here"


def test_nothing_is_left_running(checkout: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"```sh\nsleep 60 &\necho $! > {tmp_path}/pid\n```\n")
    run_docs.run(page, tmp_path / "run")
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and _runs(pid):
        time.sleep(0.05)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3] if Path("/proc").exists() else True
