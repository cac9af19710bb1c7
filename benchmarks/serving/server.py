"""Server processes for `fourfold bench serve`: started and stopped by the command line, as anyone would."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import httpx

from fourfold.lab.benchmark import BenchmarkError

TIMEOUT = 60
_READY_IN_A_ROW = 20
"""Any worker may answer: after so many answers in a row all of them are ready, as good as certainly."""


class Server(AbstractContextManager["Server"]):
    """``fourfold serve`` on a free port of this machine, with some workers."""

    def __init__(self, home: Path, workers: int) -> None:
        command = [sys.executable, "-m", "fourfold", "serve", "--home", str(home), "--port", "0"]
        command += ["--workers", str(workers), "--log-share", "0"]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        self._log = list[str]()
        self._announced = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port = self._port()
        self._wait_until_ready()

    def memory_mb(self) -> float:
        """Private memory of all its processes."""
        return sum(_private_mb(pid) for pid in _family(self._process.pid))

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reader.join(TIMEOUT)

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                self._log.append(line)
                if "http://" in line:
                    self._announced.set()
        self._announced.set()

    def _port(self) -> int:
        self._announced.wait(TIMEOUT)
        found = re.search(r"http://[\d.]+:(\d+)", "".join(self._log))
        if found is None:
            self.__exit__()
            raise BenchmarkError(f"fourfold serve did not start; it wrote: {''.join(self._log)[-2000:]}")
        return int(found[1])

    def _wait_until_ready(self) -> None:
        deadline, ready = time.monotonic() + TIMEOUT, 0
        while ready < _READY_IN_A_ROW:
            if time.monotonic() > deadline:
                self.__exit__()
                raise BenchmarkError(f"fourfold serve was not ready in {TIMEOUT} s; it wrote: {''.join(self._log)[-2000:]}")
            answer = httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=TIMEOUT)
            ready = ready + 1 if answer.status_code == httpx.codes.OK else 0
            time.sleep(0 if ready else 0.1)


def _family(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _family(int(child))


def _private_mb(pid: int) -> float:
    with suppress(OSError):
        found = re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
        return int(found[1]) / 1024 if found else 0.0
    return 0.0
