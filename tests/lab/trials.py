"""Generated worlds with an experiment in them: viewers of different liveliness, slates, likes and hides, as one log."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from fourfold.definition.experiments import HOLDOUT, Experiment
from fourfold.events.types import Details, EventKind, columns_batch, encode_details
from fourfold.modes.assignment import assigned
from fourfold.modes.interleaving import team_draft
from tests.lab.logs import MemoryLog

START = 1_704_067_200_000
SLATE = 4


@dataclass(frozen=True)
class Trial:
    """A world in which variants change how likely viewers are to like what they see.

    Parameters
    ----------
    experiment : Experiment
        As declared; assignments are those of the product.
    likes : mapping
        The mean chance of a like by variant, holdout too.
    viewers, seed : int
        How many, and of what draw.
    lost : str, optional
        A variant whose exposures vanish for a third of its viewers.
    """

    experiment: Experiment
    likes: dict[str, float]
    viewers: int
    seed: int
    lost: str | None = None

    def log(self) -> MemoryLog:
        """Everybody's slates, in order of time."""
        rng = np.random.default_rng(self.seed)
        names = [f"m{n}" for n in range(self.viewers)]
        arms = [assigned("feed", "one", self.experiment, name) for name in names]
        slates = 1 + rng.poisson(rng.gamma(0.5, 6.0, self.viewers))
        slates[rng.random(self.viewers) * (np.array(arms) == self.lost) > 2 / 3] = 0
        viewer = np.repeat(np.repeat(np.arange(self.viewers), slates), SLATE)
        time = START + np.arange(len(viewer)) // SLATE * 1_000
        drafted = self.experiment.kind == "interleave"
        arm = np.array([name or "-" for name in arms])[viewer]
        team = self._teams(int(slates.sum()), rng) if drafted else np.full(len(viewer), "")
        team[arm == HOLDOUT] = ""
        taste = rng.beta(0.5, 0.5, self.viewers)[viewer] * 2
        liked = rng.random(len(viewer)) < taste * np.array([self.likes.get(a, 0.1) for a in np.where(team == "", arm, team)])
        shown = np.char.add("i", np.arange(len(viewer)).astype(str))
        columns = {
            "id": np.concatenate([shown, np.char.add("a", shown[liked])]).tolist(),
            "kind": np.repeat([EventKind.IMPRESSION, EventKind.ACTION], [len(viewer), liked.sum()]),
            "time": np.concatenate([time, time[liked] + 500]),
            "surface": ["feed"] * (len(viewer) + int(liked.sum())),
            "subject": np.array(names)[np.concatenate([viewer, viewer[liked]])].tolist(),
            "object": np.char.add("p", np.concatenate([np.arange(len(viewer)), np.flatnonzero(liked)]).astype(str)).tolist(),
            "name": [None] * len(viewer) + ["like"] * int(liked.sum()),
            "attributes": [_details(a, t) for a, t in zip(arm.tolist(), team.tolist(), strict=True)]
            + [None] * int(liked.sum()),
        }
        whole = columns_batch(columns, len(columns["id"])).sort_by("time")
        return MemoryLog([whole.slice(place, 20_000) for place in range(0, len(whole), 20_000)])

    def _teams(self, slates: int, rng: np.random.Generator) -> NDArray[np.str_]:
        """Two rankers that agree on nothing: who picks when is all that matters."""
        teams = list(self.experiment.variants)
        drafts = [[team for _, team in team_draft("abcd", "efgh", seed)[:SLATE]] for seed in range(64)]
        found: NDArray[np.str_] = np.array(teams)[np.array(drafts)[rng.integers(0, 64, slates)].ravel()]
        return found


@cache
def _details(arm: str, team: str) -> bytes | None:
    if arm == "-":
        return None
    if team:
        return encode_details(Details(experiment="one", team=team))
    return encode_details(Details(experiment="one", variant=arm))


def ab(holdout: float = 0.0, **shares: float | None) -> Experiment:
    return Experiment(holdout=holdout, variants={name: {"share": share} for name, share in shares.items()})


def duel(holdout: float = 0.0) -> Experiment:
    return Experiment(kind="interleave", holdout=holdout, variants={"control": {"model": "v1"}, "treatment": {"model": "v2"}})


def doubled(log: MemoryLog) -> MemoryLog:
    """The log with every event twice."""
    return MemoryLog([*log.batches, *log.batches])
