"""The ranker in this process says what the engine says."""

import numpy as np

from fourfold.events.types import Action, Event
from fourfold.features.assembly import candidates, context
from fourfold.features.encoding import Encoder, schema_of
from fourfold.models.io import build_ranker
from fourfold.scoring.engine import ScoringEngine
from fourfold.scoring.local import LocalScorer
from tests.contract.slate_contract import NOON, small_world
from tests.features.samples import state_of
from tests.pipeline.samples import FULL


def test_history_viewer_and_candidates_reach_the_engine() -> None:
    assert FULL.ranker is not None
    engine = ScoringEngine(build_ranker(FULL.ranker, schema_of(FULL), seed=3))
    liked: list[Event] = [Action(id="1", time=NOON - 1, viewer="m0", item="p0", name="like", surface="feed")]
    view, encoder = state_of([*small_world(), *liked], FULL).view(), Encoder(FULL)
    rows = view.all_rows("post")
    known = context(view, encoder, int(view.rows("member", ["m0"])[0]), NOON)
    asked = candidates(view, encoder, known, rows)
    found = LocalScorer(engine).score(known, asked)
    assert found.shape == (4, 3)
    np.testing.assert_array_equal(found, engine.score(engine.encode(known.history), known.viewer_ids[0], asked))
    stranger = context(view, encoder, -1, NOON)
    assert abs(LocalScorer(engine).score(stranger, asked) - found).max() > 1e-4


def test_a_cache_of_histories_changes_nothing_and_is_used() -> None:
    assert FULL.ranker is not None
    scorer = LocalScorer(ScoringEngine(build_ranker(FULL.ranker, schema_of(FULL), seed=3)), 1_000_000)
    liked: list[Event] = [Action(id="1", time=NOON - 1, viewer="m0", item="p0", name="like", surface="feed")]
    view, encoder = state_of([*small_world(), *liked], FULL).view(), Encoder(FULL)
    known = context(view, encoder, int(view.rows("member", ["m0"])[0]), NOON)
    asked = candidates(view, encoder, known, view.all_rows("post"))
    first = scorer.score(known, asked)
    np.testing.assert_array_equal(scorer.score(known, asked), first)
    assert (scorer.cache.counts.hits, scorer.cache.counts.misses) == (1, 1)
