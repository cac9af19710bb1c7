"""The demo, whole, on a data set of three hundred ratings: real processes and a real service."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.cli.commands import Cli

FIRST = 1_500_000_000


def ratings(folder: Path) -> Path:
    """Twenty members rate fifteen films each, in MovieLens' format."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    rows = ["userId,movieId,rating,timestamp"]
    for member in range(20):
        for place, film in enumerate(rng.permutation(40)[:15].tolist()):
            rating = 5.0 if (film + member) % 2 else 2.0
            rows.append(f"{member},{film},{rating},{FIRST + place * 86_400 + member * 60}")
    films = ["movieId,title,genres", *(f'{film},"[Film] {film} (19{50 + film})",Drama|Comedy' for film in range(40))]
    (folder / "ratings.csv").write_text("\n".join(rows) + "\n")
    (folder / "movies.csv").write_text("\n".join(films) + "\n")
    return folder


def test_from_data_to_explained_slates(tmp_path: Path) -> None:
    source, home = ratings(tmp_path / "data"), tmp_path / "home"
    command = [sys.executable, "-m", "fourfold", "demo", "--home", str(home), "--data", "movielens-latest-small"]
    done = subprocess.run(
        [*command, "--from", str(source), "--members", "5"], check=False, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    for step in ("define movielens", "import movielens-latest-small", "train feed", "evaluate feed", "serve", "recommend feed"):
        assert f"$ fourfold {step}" in done.stderr
    assert done.stdout.count("feed for ") == 3
    assert "feed for somebody-new (model v1)" in done.stdout
    assert "[Film]" in done.stdout
    assert "That was it" in done.stdout
    assert (home / "demo.txt").exists()


def test_for_machines_it_prints_one_document(tmp_path: Path) -> None:
    source, home = ratings(tmp_path / "data"), tmp_path / "home"
    command = [sys.executable, "-m", "fourfold", "demo", "--json", "--home", str(home), "--data", "movielens-latest-small"]
    done = subprocess.run([*command, "--from", str(source), "--members", "2"], check=False, capture_output=True, timeout=240)
    assert done.returncode == 0, done.stderr.decode()
    steps = json.loads(done.stdout)["steps"]
    names = ["define", "import", "train", "evaluate", "recommend", "recommend", "recommend"]
    assert [step["command"][0] for step in steps] == names
    assert [step["answer"]["viewer"] for step in steps[-3:]][-1] == "somebody-new"
    assert all(step["answer"]["items"] for step in steps[-3:])


def test_a_home_that_no_demo_made_is_left_alone(cli: Cli) -> None:
    cli.home.mkdir()
    (cli.home / "precious").write_text("x")
    assert "is not empty and no demo made it" in cli("demo", "--home", cli.home).error
    assert (cli.home / "precious").exists()


def test_a_step_that_fails_is_named(cli: Cli, tmp_path: Path) -> None:
    answer = cli("demo", "--home", cli.home, "--data", "nonsense", "--from", tmp_path)
    assert answer.code == 1
    assert answer.err.rstrip().endswith(f"error: `fourfold define nonsense --home {cli.home}` failed with exit code 1")
