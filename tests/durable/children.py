"""Real child processes for tests: run a program, hear what it says, and kill it without mercy."""

import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager

TIMEOUT = 60


class Child(AbstractContextManager["Child"]):
    """A Python program in a process of its own. Lines that it prints (flushed) can be read while it runs."""

    def __init__(self, program: str, *arguments: object) -> None:
        command = [sys.executable, "-c", program, *map(str, arguments)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def line(self) -> str:
        """The next line that it prints."""
        assert self.process.stdout is not None
        text = self.process.stdout.readline()
        assert text.endswith("\n"), self._errors()
        return text.strip()

    def killed_after(self, seconds: float) -> list[str]:
        """Let it run for a while, kill it with SIGKILL, and return the whole lines that it had printed."""
        time.sleep(seconds)
        self.process.send_signal(signal.SIGKILL)
        lines = self._rest(-signal.SIGKILL)
        return [line.strip() for line in lines if line.endswith("\n")]

    def finished(self) -> list[str]:
        """Wait for its end, which must be a good one, and return what it printed."""
        return [line.strip() for line in self._rest(0)]

    def _rest(self, code: int) -> list[str]:
        # Not communicate(): it would miss what `line` has read ahead.
        assert self.process.stdout is not None
        lines = self.process.stdout.readlines()
        assert self.process.wait(TIMEOUT) == code, self._errors()
        return lines

    def _errors(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait(TIMEOUT)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
