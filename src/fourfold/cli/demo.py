"""The demo: the whole way from data to explained slates, every step a public command that is shown before it runs."""

import json as json_module
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from fourfold.cli.console import Home, Json, err, report

START_SECONDS = 60


class DemoError(RuntimeError):
    """A step of the demo failed; the message names it."""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(demo)


def demo(
    home: Home = Path("fourfold-home/demo"),
    json: Json = False,
    data: Annotated[str, typer.Option(help="movielens-100k, movielens-latest-small or kuairand.")] = "movielens-100k",
    source: Annotated[Path | None, typer.Option("--from", help="The folder that holds the data.")] = None,
    members: Annotated[int, typer.Option(help="How many members' slates are judged.")] = 200,
) -> None:
    """From data to slates in one command: import, train, judge, serve, ask for three members, one of them brand new.

    It starts from nothing each time: what a demo left in its home is replaced.
    """
    from fourfold.cli.datasets import preset_of  # noqa: PLC0415

    _clear(home)
    steps = _Steps(home, json)
    given = ["--from", str(source)] if source else []
    steps.run("define", preset_of(data))
    (home / "deployment.toml").write_text('[feed]\nclock = "log"  # the data ended in the past: now is when they end\n')
    steps.run("import", data, *given)
    steps.run("train", "feed")
    steps.run("evaluate", "feed", "--members", str(members))
    viewers = [*_latest_viewers(home)[:2], "somebody-new"]
    with _service(home) as url:
        for viewer in viewers:
            steps.run("recommend", "feed", "--viewer", viewer, "--size", "10", "--explain", "--url", url)
    report({"home": str(home), "steps": steps.done}, json, *_what_next(home, viewers[0]))


@dataclass
class _Steps:
    """Runs commands as a user would, showing each first. For machines, what they print is kept instead of shown."""

    home: Path
    as_json: bool
    done: list[dict[str, Any]] = field(default_factory=list)

    def run(self, *arguments: str) -> None:
        """Run a command on the demo's home; its failure is the demo's."""
        arguments = (*arguments, "--home", str(self.home))
        _show(arguments)
        if not self.as_json:
            _check(arguments, subprocess.run(_command(arguments), check=False))
            return
        answer = subprocess.run(_command((*arguments, "--json")), check=False, stdout=subprocess.PIPE)
        _check(arguments, answer)
        self.done.append({"command": list(arguments), "answer": json_module.loads(answer.stdout)})


def _what_next(home: Path, viewer: str) -> list[str]:
    example = json_module.dumps({"viewer": viewer})
    return [
        "That was it.",
        f"Keep it serving:   fourfold serve --home {home}",
        "Ask it:            curl -s localhost:8000/v1/feed/recommend -H 'content-type: application/json' \\",
        f"                     -d '{example}'",
        "Your own data:     fourfold import --help, and `fourfold define --show movielens` as a start for a definition",
    ]


def _clear(home: Path) -> None:
    """Remove what an earlier demo left; refuse a home that something else made."""
    marker = home / "demo.txt"
    if home.exists() and any(home.iterdir()) and not marker.exists():
        raise DemoError(f"{home} is not empty and no demo made it; pass --home with a new directory")
    cache = home / "cache"
    for path in home.iterdir() if home.exists() else ():
        if path != cache:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    home.mkdir(parents=True, exist_ok=True)
    marker.write_text("made by `fourfold demo`, which replaces everything here\n")


def _show(arguments: Sequence[str], end: str = "") -> None:
    err.rule(characters="·")
    err.print(f"$ fourfold {shlex.join(arguments)}{end}", style="bold", soft_wrap=True)


def _check(arguments: Sequence[str], done: subprocess.CompletedProcess[bytes]) -> None:
    if done.returncode:
        raise DemoError(f"`fourfold {shlex.join(arguments)}` failed with exit code {done.returncode}")


def _command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "fourfold", *arguments]


def _latest_viewers(home: Path) -> list[str]:
    arguments = ["status", "--home", str(home), "--json"]
    answer = subprocess.run(_command(arguments), check=False, stdout=subprocess.PIPE)
    _check(arguments, answer)
    viewers: list[str] = json_module.loads(answer.stdout)["surfaces"][0]["latest_viewers"]
    return viewers


@contextmanager
def _service(home: Path) -> Iterator[str]:
    """A service of a home on a free port of the loopback interface; its address."""
    port = _free_port()
    arguments = ["serve", "--home", str(home), "--port", str(port)]
    _show(arguments, " &")
    log = home / "service.log"
    with log.open("wb") as file, subprocess.Popen(_command(arguments), stdout=file, stderr=file) as process:
        try:
            _wait_until_ready(f"http://127.0.0.1:{port}", process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise DemoError(f"the service did not become ready; its log says:\n{log.read_text()[-2000:]}")
