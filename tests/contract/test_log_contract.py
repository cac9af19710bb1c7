"""The contract of logs, for each implementation."""

from pathlib import Path

import pytest

from fourfold.events.lmdb_log import LmdbLog
from tests.contract.log_contract import LogContract, OpenLog


class TestLmdbLog(LogContract):
    @pytest.fixture
    def open_log(self, tmp_path: Path) -> OpenLog:
        return lambda name: LmdbLog(tmp_path / name)
