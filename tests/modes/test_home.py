"""Homes: one directory each, clear words about what is missing, and nothing that reaches into another."""

from pathlib import Path

import pytest

from fourfold.definition import DefinitionError
from fourfold.events.types import Impression, batch_of
from fourfold.modes.home import Home, HomeError
from fourfold.surfaces.presets import movielens
from tests.modes.samples import SMALL, made_home, train


def contents(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def test_homes_never_touch(tmp_path: Path) -> None:
    with made_home(tmp_path / "one") as one:
        one.consumer("feed", commits=True)
    before = contents(tmp_path / "one")
    with made_home(tmp_path / "two") as two:
        two.log.append(batch_of([Impression(id="x", time=1, viewer="m0", item="p0", surface="feed")]), 1)
        with two.consumer("feed", commits=True) as consumer:
            consumer.catch_up()
        train(two)
        assert two.registry.promoted("feed") == "v1"
    assert contents(tmp_path / "one") == before
    with Home(tmp_path / "one") as one:
        assert one.log.end == two_end(tmp_path) - 1
        assert one.registry.promoted("feed") is None
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two"}


def two_end(tmp_path: Path) -> int:
    with Home(tmp_path / "two") as two:
        return two.log.end


def test_a_home_is_made_when_something_is_written(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    assert home.surfaces() == []
    assert not home.deployment.of("feed").log_impressions
    assert not home.path.exists()
    with pytest.raises(HomeError, match=r"there is no home at .*home; `fourfold define` makes one"):
        Home.existing(home.path)
    home.define(SMALL)
    assert Home.existing(home.path).surfaces() == ["feed"]
    assert home.definition("feed") == SMALL


def test_defining_again_replaces_the_definition(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert home.define(SMALL) == home.define(movielens())
    assert home.definition("feed") == movielens()
    assert [path.name for path in (tmp_path / "definitions").iterdir()] == ["feed.json"]


def test_an_unknown_surface_and_a_broken_definition_are_named(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with pytest.raises(HomeError, match="has no surface 'feed'; it has none yet; add one with `fourfold define`"):
        home.definition("feed")
    home.define(SMALL)
    for surface in ("pymk", "../feed", "definitions/feed"):
        with pytest.raises(HomeError, match=f"has no surface '{surface}'; it has one of: feed"):
            home.consumer(surface)
    (tmp_path / "definitions" / "feed.json").write_text('{"surface": "feed"')
    with pytest.raises(DefinitionError, match=r"feed.json.*not valid JSON"):
        home.definition("feed")


def test_a_wrong_deployment_is_refused_and_the_old_one_stays(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.deploy("[feed]\nbudget_ms = 70")
    with pytest.raises(DefinitionError, match=r"deployment.toml"):
        home.deploy("[feed]\nbudget_ms = -1")
    assert home.deployment.of("feed").budget_ms == 70


def test_closing_lets_go_of_everything(tmp_path: Path) -> None:
    with made_home(tmp_path / "home") as home:
        store = home.consumer("feed")._store
    with pytest.raises(Exception, match="is closed"):
        _ = store.offset
    home.close()
    assert home.log.end > 0  # opened anew
    home.close()
