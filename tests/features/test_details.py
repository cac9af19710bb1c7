"""Details by code: few of them, whatever else differs from impression to impression."""

import numpy as np

from fourfold.events.types import Impression
from fourfold.features.details import SPACE
from tests.features.samples import state_of
from tests.strategies import START


def test_experiments_make_no_details_of_their_own() -> None:
    shown = [
        Impression(
            id=str(n), time=START + n, viewer="m0", item=f"p{n}", surface="feed", experiment=f"e{n}", variant="v", team="t"
        )
        for n in range(9)
    ]
    assert len(state_of(shown).view().names[SPACE]) == 0


def test_propensities_make_no_details_of_their_own() -> None:
    """Nothing that is computed reads them, and every new detail would be kept for ever."""
    shown = [
        Impression(
            id=str(n), time=START + n, viewer="m0", item=f"p{n}", surface="feed", propensity=1 / n, context={"tab": "home"}
        )
        for n in range(1, 50)
    ]
    view = state_of(shown).view()
    assert len(view.names[SPACE]) == 1
    rows = view.table("impression").slice(np.array([0]), np.array([0]), np.array([START + 99]))
    assert (view.details.of(rows["details"]).context >= 0).any(axis=1).all()
    plain = [Impression(id="1", time=START, viewer="m0", item="p1", surface="feed", propensity=0.5)]
    assert len(state_of(plain).view().names[SPACE]) == 0
