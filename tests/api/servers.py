"""Real server processes for tests: started on a free port, killed or asked to stop."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx

TIMEOUT = 60
PROGRAM = """
import sys
from pathlib import Path
from fourfold.api.serve import serve
from fourfold.modes.home import Home
with Home(Path(sys.argv[1])) as home:
    surfaces, workers, host, keys = sys.argv[2].split(","), int(sys.argv[3]), sys.argv[4], sys.argv[5:]
    serve(home, surfaces, host, 0, keys=keys, workers=workers, announce=lambda url: print(url, flush=True))
"""


class Server(AbstractContextManager["Server"]):
    """A service in processes of its own; its log goes beside the home."""

    def __init__(self, home: Path, surfaces: str = "feed,pymk", *keys: str, workers: int = 1, host: str = "127.0.0.1") -> None:
        self.log = home.parent / f"{home.name}.log"
        with self.log.open("ab") as log:
            command = [sys.executable, "-c", PROGRAM, str(home), surfaces, str(workers), host, *keys]
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)

    @contextmanager
    def client(self) -> Iterator[httpx.Client]:
        """A client of it, once it listens and is ready."""
        assert self.process.stdout is not None
        url = self.process.stdout.readline().strip()
        assert url, self.log.read_text()
        with httpx.Client(base_url=url, timeout=TIMEOUT) as client:
            deadline = time.monotonic() + TIMEOUT
            while client.get("/readyz").status_code != 200:
                assert time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.02)
            yield client

    @property
    def workers(self) -> list[int]:
        """The process ids of its workers, oldest first."""
        listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], check=False, stdout=subprocess.PIPE)
        return sorted(map(int, listed.stdout.split()))

    def kill(self) -> None:
        """End all of it by SIGKILL."""
        for worker in self.workers:
            os.kill(worker, signal.SIGKILL)
        self.process.kill()
        assert self.process.wait(TIMEOUT) == -signal.SIGKILL

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop, and return how it ended."""
        self.process.send_signal(number)
        return self.process.wait(TIMEOUT)

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait(TIMEOUT)
        if self.process.stdout is not None:
            self.process.stdout.close()
