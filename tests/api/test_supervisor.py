"""Real worker processes: what a dead one costs, how all are replaced under load, and that none outlives its supervisor."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from fourfold.api.key_file import NAME, KeyFile
from fourfold.api.roles import Role
from fourfold.api.serve import ServeError, serve
from fourfold.api.supervisor import Start, Supervisor, WorkerFailedError
from fourfold.modes.home import Home
from tests.api.samples import action, make_home, post, world
from tests.api.servers import TIMEOUT, Server


def wait_until(holds: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not holds():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)


def slate_of(client: httpx.Client) -> dict[str, Any]:
    """A slate on a connection of its own, so that any worker may answer."""
    while (answer := httpx.post(client.base_url.join("/v1/feed/recommend"), json={"viewer": "m0"})).status_code == 429:
        time.sleep(0.05)
    found: dict[str, Any] = answer.json()
    return found


@contextmanager
def load(client: httpx.Client, threads: int = 3) -> Iterator[Counter[str]]:
    """Requests without a pause, each on a new connection; how many ended how, but for those that were told to come again."""
    ended, stop = Counter[str](), threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                answer = httpx.post(client.base_url.join("/v1/feed/recommend"), json={"viewer": "m0"}, timeout=TIMEOUT)
                if answer.status_code != 429:
                    ended[str(answer.status_code)] += 1
            except httpx.HTTPError as error:
                ended[type(error).__name__] += 1

    running = [threading.Thread(target=ask) for _ in range(threads)]
    for thread in running:
        thread.start()
    try:
        yield ended
    finally:
        stop.set()
        for thread in running:
            thread.join()


def test_workers_die_and_are_replaced_under_load(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    with Server(tmp_path / "home", "feed", workers=2) as server, server.client() as client:
        post(client, world())
        wait_until(lambda: len(server.workers) == 2, server.log)
        a_killed_one_costs_its_requests_in_flight(server, client)
        all_are_replaced_without_losing_a_request(server, client)
        a_new_deployment_is_taken_up_without_losing_a_request(server, client, home)
        assert server.stop() == 0


def a_killed_one_costs_its_requests_in_flight(server: Server, client: httpx.Client) -> None:
    before = server.workers
    with load(client) as ended:
        wait_until(lambda: ended["200"] > 20, server.log)
        os.kill(before[0], signal.SIGKILL)
        wait_until(lambda: len(set(server.workers) - set(before)) == 1, server.log)
        count = ended["200"]
        wait_until(lambda: ended["200"] > count + 50, server.log)
    assert sum(ended.values()) - ended["200"] <= 3, ended
    assert before[0] not in server.workers
    assert before[1] in server.workers
    # Whoever answers now knows what was acknowledged.
    post(client, action("m0", "p1", "hide"))
    for _ in range(10):
        assert "p1" not in [item["item"] for item in slate_of(client)["items"]]
    assert f"worker 0 (process {before[0]}) ended with signal 9; starting another" in server.log.read_text()


def all_are_replaced_without_losing_a_request(server: Server, client: httpx.Client) -> None:
    before = set(server.workers)
    with load(client) as ended:
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: not before & set(server.workers) and len(server.workers) == 2, server.log)
        count = ended["200"]
        wait_until(lambda: ended["200"] > count + 20, server.log)
    assert set(ended) == {"200"}, ended


def a_new_deployment_is_taken_up_without_losing_a_request(server: Server, client: httpx.Client, home: Home) -> None:
    def stands_still() -> bool:
        return len({slate_of(client)["time"] for _ in range(9)}) == 1

    def problems() -> set[str | None]:
        asked = [httpx.get(client.base_url.join("/v1/feed/status")) for _ in range(9)]
        return {answer.json()["problem"] for answer in asked}

    with load(client) as ended:
        assert not stands_still()
        home.deploy('[feed]\nclock = "log"\n')
        wait_until(stands_still, server.log)
        home.deployment_path.write_text("[feed\n")
        wait_until(lambda: None not in problems(), server.log)
        assert "not valid TOML" in str(problems())
        assert stands_still()
        home.deploy("")
        wait_until(lambda: problems() == {None} and not stands_still(), server.log)
    assert set(ended) == {"200"}, ended
    assert server.log.read_text().count("goes on as deployed before") == 2


def test_workers_end_with_their_supervisor(tmp_path: Path) -> None:
    make_home(tmp_path / "home")
    with Server(tmp_path / "home", "feed", workers=2) as server, server.client():
        wait_until(lambda: len(server.workers) == 2, server.log)
        workers = server.workers
        server.process.kill()
        wait_until(lambda: not any(alive(worker) for worker in workers), server.log)


def test_a_replaced_worker_does_not_open_what_others_can_reach(tmp_path: Path) -> None:
    """All keys are revoked, and even their file is gone: the new worker has never seen one."""
    home = make_home(tmp_path / "home")
    keys = KeyFile(home.path / NAME)
    keys.create("shop", Role.READ, 0)
    with Server(home.path, "feed", host="0.0.0.0") as server, server.client() as client:
        ask: Any = {"headers": {"Host": "localhost"}, "timeout": TIMEOUT}
        surfaces = client.base_url.join("/v1/surfaces")
        assert httpx.get(surfaces, **ask).status_code == 401
        keys.path.unlink()
        before = server.workers
        os.kill(before[0], signal.SIGKILL)
        wait_until(lambda: server.workers not in ([], before), server.log)
        assert httpx.get(surfaces, **ask).status_code == 401
        assert server.stop() == 0


def alive(process: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has waited for does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], check=False, stdout=subprocess.PIPE, text=True).stdout
    return bool(state.strip()) and not state.startswith("Z")


def test_a_service_that_cannot_start_says_so(tmp_path: Path) -> None:
    with make_home(tmp_path / "home") as home, pytest.raises(ServeError, match="0 workers cannot serve"):
        serve(home, ["feed"], port=0, workers=0)
    state = tmp_path / "home" / "state"
    state.write_text("a file where a folder must be")
    with Home(tmp_path / "home") as home, pytest.raises(ServeError, match="did not start: worker 0 ended with exit code"):
        serve(home, ["feed"], port=0)


def script(code: str) -> Callable[[Start], "subprocess.Popen[str]"]:
    """Starts workers that run some code, with their place as `place`."""

    def spawn(start: Start) -> "subprocess.Popen[str]":
        command = [sys.executable, "-u", "-c", f"import sys, time\nplace = {start.place}\n{code}"]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    return spawn


def test_workers_that_die_again_and_again_are_started_ever_more_slowly(caplog: pytest.LogCaptureFixture) -> None:
    started: list[float] = []
    dying = script("print('listening')")

    def spawn(start: Start) -> "subprocess.Popen[str]":
        started.append(time.monotonic())
        if len(started) == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return dying(start)

    listening: list[bool] = []
    Supervisor(1, spawn, lambda: listening.append(True)).run()
    pauses = [later - sooner for sooner, later in itertools.pairwise(started)]
    assert listening == [True]
    assert pauses[0] >= 0.5
    assert pauses[1] >= 1.0
    assert pauses[2] >= 2.0
    assert caplog.text.count("ended with exit code 0; starting another") >= 3


STUBBORN = """
import signal
def leave(*_):
    time.sleep(3)
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
print('listening')
print('ready')
time.sleep(60)
"""


def test_a_new_worker_that_dies_while_the_old_one_leaves_is_replaced() -> None:
    """The place must not stay empty when the old one, which takes its time, has left."""
    started: list[subprocess.Popen[str]] = []
    make = script(STUBBORN)

    def spawn(start: Start) -> "subprocess.Popen[str]":
        started.append(make(start))
        if len(started) == 3:
            threading.Timer(4.0, os.kill, (os.getpid(), signal.SIGTERM)).start()
        return started[-1]

    def interfere() -> None:
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGHUP)
        while len(started) < 2:
            time.sleep(0.02)
        time.sleep(1.0)  # It is ready, and the old one was told to leave.
        started[1].kill()

    threading.Thread(target=interfere, daemon=True).start()
    supervisor = Supervisor(1, spawn, lambda: None)
    supervisor.run()
    assert len(started) == 3
    assert [process.returncode for process in started] == [0, -signal.SIGKILL, 0]


def test_what_never_listens_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(WorkerFailedError, match="worker 0 ended with exit code 3 before it could listen"):
        Supervisor(1, script("sys.exit(3)"), lambda: None).run()
    assert "starting another" not in caplog.text


def test_signals_are_handled_as_before_afterwards() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with pytest.raises(WorkerFailedError):
        Supervisor(2, script("sys.exit(3)"), lambda: None).run()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
