"""Real server processes for tests: started on a free port, killed or asked to stop."""

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
    serve(home, sys.argv[2].split(","), port=0, keys=sys.argv[3:], announce=lambda url: print(url, flush=True))
"""


class Server(AbstractContextManager["Server"]):
    """A service in a process of its own; its log goes to ``server.log`` beside the home."""

    def __init__(self, home: Path, surfaces: str = "feed,pymk", *keys: str) -> None:
        self.log = home.parent / f"{home.name}.log"
        with self.log.open("ab") as log:
            command = [sys.executable, "-c", PROGRAM, str(home), surfaces, *keys]
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

    def kill(self) -> None:
        """End it by SIGKILL."""
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
