"""Drift by hand, at its stated rate where nothing changed, and found where a change was planted."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from fourfold.definition import DCNv2
from fourfold.events.types import EntityUpsert, Event, Impression
from fourfold.features.encoding import Encoder
from fourfold.features.view import View
from fourfold.lab.drift import DriftError, DriftReport, compared, drift, load, path_of, save
from fourfold.models.io import build_ranker
from fourfold.training.manifest import HeldOut, Manifest
from tests.features.samples import state_of
from tests.strategies import HOUR, START, TINY
from tests.training.test_registry import manifest_of

HALVES = (START + 2 * HOUR, START + 4 * HOUR)
MANIFEST: Manifest = structs.replace(
    manifest_of(TINY), version="v1", held_out=HeldOut(first=START, judged_from=START + HOUR, last=HALVES[0])
)


def numbers(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_the_index_of_two_bins_by_hand() -> None:
    """Zeros and ones in equal parts become one zero in five: 0.3 ln(0.8 / 0.5) + 0.3 ln(0.5 / 0.2)."""
    found = compared("feature", "size", numbers(*[0, 1] * 50), numbers(*[0, 1, 1, 1, 1] * 20))
    assert found.psi == pytest.approx(0.3 * np.log(0.8 / 0.5) + 0.3 * np.log(0.5 / 0.2))
    assert found.ks == pytest.approx(0.3)
    assert found.noise == pytest.approx(3.841 * (1 / 100 + 1 / 100), abs=1e-3)
    assert found.verdict == "major"


def test_what_is_missing_is_a_bin_of_its_own() -> None:
    nan = float("nan")
    found = compared("feature", "size", numbers(*[1, nan] * 50), numbers(*[1, 1, 1, nan] * 25))
    assert found.psi == pytest.approx(0.25 * np.log(0.75 / 0.5) + 0.25 * np.log(0.5 / 0.25))
    assert found.ks == 0
    gone = compared("feature", "size", numbers(*[1] * 100), numbers(*[nan] * 100))
    assert (gone.ks, gone.verdict) == (None, "major")
    never = compared("feature", "size", numbers(*[nan] * 100), numbers(*[nan] * 100))
    assert (never.psi, never.ks, never.verdict) == (0, None, "stable")


def test_a_missing_value_is_not_a_small_one() -> None:
    sizes, nan = [*range(20)] * 5, float("nan")
    assert (
        compared("feature", "size", numbers(*sizes), numbers(*(nan if size < 2 else size for size in sizes))).verdict == "major"
    )


def test_what_noise_alone_would_give_is_no_change() -> None:
    """The same shares as above, of ten values each: 0.416 is below 3.841 (1/10 + 1/10)."""
    found = compared("feature", "size", numbers(*[0, 1] * 5), numbers(*[0, 1, 1, 1, 1] * 2))
    assert (round(found.psi, 3), round(found.noise, 3), found.verdict) == (0.416, 0.768, "stable")


@given(st.lists(st.floats(-1e6, 1e6, width=32) | st.just(float("nan")), min_size=1, max_size=50))
def test_what_did_not_change_did_not_drift(values: list[float]) -> None:
    found = compared("score", "like", numbers(*values), numbers(*values))
    assert (found.psi, found.ks or 0, found.verdict) == (0, 0, "stable")


def test_noise_is_what_stays_below_it_nineteen_times_in_twenty() -> None:
    chance = np.random.default_rng(3)
    above = [
        found.psi > found.noise
        for found in (
            compared("score", "like", chance.normal(size=900).astype(np.float32), chance.normal(size=400).astype(np.float32))
            for _ in range(600)
        )
    ]
    assert 0.025 < np.mean(above) < 0.08


def shown(begin: int, items: range, count: int = 400) -> list[Event]:
    """So many impressions in the hour from `begin` on, over ten members and the given items in turn."""
    made = range(count)
    return [
        Impression(
            id=f"{begin}-{n}",
            time=begin + n * (HOUR // count),
            viewer=f"m{n % 10}",
            item=f"p{items[n % len(items)]}",
            surface="feed",
        )
        for n in made
    ]


def view_of(*parts: list[Event]) -> View:
    """Posts of sizes 0 to 19, and impressions."""
    posts: list[Event] = [
        EntityUpsert(id=f"post-{n}", time=START, type="post", key=f"p{n}", attributes={"size": float(n)}) for n in range(20)
    ]
    return state_of([*posts, *(event for part in parts for event in part)], TINY).view()


def test_a_planted_change_is_found_and_its_absence_too() -> None:
    before = shown(START + HOUR, range(20))
    changed = drift(view_of(before, shown(HALVES[1], range(15, 20))), MANIFEST, None, START)
    same = drift(view_of(before, shown(HALVES[1], range(20))), MANIFEST, None, START)
    verdicts = [{one.name: one.verdict for one in found.inputs} for found in (changed, same)]
    assert [verdict["size"] for verdict in verdicts] == ["major", "stable"]
    assert changed.inputs[0].psi == max(one.psi for one in changed.inputs)
    assert changed.largest("feature") == max(one.psi for one in changed.inputs if one.psi > one.noise)
    assert (changed.reference.impressions, changed.recent.impressions) == (400, 400)
    assert changed.largest("score") is None


def test_probabilities_are_compared_too() -> None:
    ranker = build_ranker(DCNv2(), Encoder(TINY).schema, 1)
    found = drift(view_of(shown(START + HOUR, range(20)), shown(HALVES[1], range(2))), MANIFEST, ranker, START)
    assert {one.name for one in found.inputs if one.kind == "score"} == {"click", "like", "hide"}
    assert found.largest("score") is not None


def test_only_what_the_version_has_not_seen_is_compared() -> None:
    found = drift(view_of(shown(START + HOUR, range(20)), shown(HALVES[1], range(20))), MANIFEST, None, 0)
    assert found.recent.first == HALVES[0]
    later = drift(view_of(shown(START + HOUR, range(20)), shown(HALVES[1], range(20))), MANIFEST, None, HALVES[1] + HOUR // 2)
    assert later.recent.impressions == 200


def test_too_little_to_compare_is_said() -> None:
    few = view_of(shown(START + HOUR, range(20)), shown(HALVES[1], range(20), 99))
    with pytest.raises(DriftError, match="99 impressions since then are too few to compare; it takes 100"):
        drift(few, MANIFEST, None, START)
    with pytest.raises(DriftError, match="v1 was judged on nothing; train with a holdout"):
        drift(few, structs.replace(MANIFEST, held_out=None), None, START)


def test_a_report_is_kept_and_a_damaged_one_is_none(tmp_path: Path) -> None:
    found: DriftReport = drift(view_of(shown(START + HOUR, range(20)), shown(HALVES[1], range(20))), MANIFEST, None, START)
    assert load(tmp_path, "feed") is None
    assert save(tmp_path, found) == path_of(tmp_path, "feed")
    assert load(tmp_path, "feed") == found
    path_of(tmp_path, "feed").write_text("{")
    assert load(tmp_path, "feed") is None
