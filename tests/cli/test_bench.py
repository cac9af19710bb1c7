from pathlib import Path

import pytest

from fourfold.lab import benchmark
from fourfold.lab.benchmark import Benchmark, Say
from tests.cli.commands import Cli

FOUND = Benchmark(
    name="toy",
    equal=True,
    ratios={"feast/fourfold": 50.0},
    detail={"events_per_s": 12},
    skipped={"duckdb": "duckdb is not installed: run make bench-env"},
)


def answers(monkeypatch: pytest.MonkeyPatch, found: Benchmark) -> None:
    def run(folder: Path, name: str, *, quick: bool, scratch: Path, say: Say) -> Benchmark:
        assert (folder.name, name, quick, scratch.is_dir()) == ("benchmarks", "toy", True, True)
        say("measuring")
        return found

    monkeypatch.setattr(benchmark, "run_benchmark", run)


def test_a_table_with_what_was_skipped(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, FOUND)
    answer = cli.ok("bench", "toy", "--quick")
    for text in (
        "equal answers",
        "feast/fourfold",
        "50.000",
        "events_per_s",
        "duckdb was not compared: duckdb is not installed",
    ):
        assert text in answer.out
    assert answer.err == "measuring\n"


def test_json_is_the_whole_answer(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, FOUND)
    assert cli.ok("bench", "toy", "--quick", "--json").document == {
        "name": "toy",
        "equal": True,
        "ratios": {"feast/fourfold": 50.0},
        "detail": {"events_per_s": 12},
        "skipped": {"duckdb": "duckdb is not installed: run make bench-env"},
    }


def test_unequal_answers_are_a_failure(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, Benchmark(name="toy", equal=False))
    answer = cli("bench", "toy", "--quick", "--json")
    assert (answer.code, answer.document["equal"]) == (1, False)


def test_the_list(cli: Cli) -> None:
    assert "import" in cli.ok("bench", "--json").document
    assert "import" in cli.ok("bench").out
    assert "there is no benchmark 'nonsense'; there is: " in cli("bench", "nonsense").error
