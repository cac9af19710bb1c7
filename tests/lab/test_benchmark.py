from pathlib import Path

import pytest

from fourfold.lab.benchmark import Benchmark, BenchmarkError, benchmarks_folder, benchmarks_in, run_benchmark

SAYS = '''"""What `print` costs.

More.
"""
from fourfold.lab.benchmark import Benchmark

def run(*, quick, folder, say):
    say(f"in {folder.name}")
    return Benchmark(name="print", equal=quick, ratios={"peer/fourfold": 2.0})
'''


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "toy_checkout"
    folder = root / "toy_benchmarks"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "print_.py").write_text(SAYS)
    (folder / "two_words.py").write_text("raise SystemExit")
    return folder


def test_this_checkout_has_benchmarks_with_a_line_each() -> None:
    folder = benchmarks_folder()
    assert folder == Path(__file__).parents[2] / "benchmarks"
    known = benchmarks_in(folder)
    assert "import" in known
    assert all(line.endswith(".") for line in known.values()), known


def test_without_a_checkout_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="benchmarks come with a checkout"):
        benchmarks_folder(tmp_path)


def test_listing_imports_nothing(checkout: Path) -> None:
    assert benchmarks_in(checkout) == {"print": "What `print` costs.", "two-words": ""}


def test_a_benchmark_gets_its_folder_and_says_what_it_does(checkout: Path, tmp_path: Path) -> None:
    said: list[str] = []
    found = run_benchmark(checkout, "print", quick=True, scratch=tmp_path, say=said.append)
    assert found == Benchmark(name="print", equal=True, ratios={"peer/fourfold": 2.0})
    assert said == [f"in {tmp_path.name}"]


def test_one_that_is_not_there_lists_those_that_are(checkout: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="no benchmark 'prnt'; there is: print, two-words"):
        run_benchmark(checkout, "prnt", quick=True, scratch=tmp_path, say=print)
