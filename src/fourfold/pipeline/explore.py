"""Exploration: which places of a slate are opened and what stands there, as a function of the request, with propensities."""

import hashlib
import json
from dataclasses import dataclass

import numpy as np

from fourfold.definition import Explore
from fourfold.features.table import Float, Int


def seed_of(surface: str, viewer: str, time: int, request: str | None) -> int:
    """128 bits made of what identifies a request."""
    text = json.dumps([surface, viewer, time, request])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")


@dataclass(frozen=True)
class Drawn:
    """What exploration made of a slate of S places and M next candidates.

    `places` and `replaced` say which places are open and which of the next candidates stands there. Propensities are the
    chances, over all seeds, that each item is in the slate.
    """

    places: Int  # (K,), ascending
    replaced: Int  # (K,), indices into the next candidates
    kept: Float  # (S,), of the items that stand there without exploration
    drawn: float  # of each of the next candidates


def draw(explore: Explore, openable: Int, size: int, following: int, seed: int) -> Drawn:
    """Open places and draw for them, by the model that `Explore` states.

    Parameters
    ----------
    openable : int64 array
        The places (ascending) that no rule holds.
    size, following : int
        How many places the slate has (S), and how many next candidates fit beside it (M).
    seed : int
        Of the request, below ``2 ** 128``.
    """
    kept = np.ones(size)
    last = openable[max(len(openable) - following, 0) :]
    if not len(last):
        return Drawn(last, last, kept, 0.0)
    kept[last] = 1.0 - explore.share
    uniform = _uniform(seed, len(last) + following)
    places = last[uniform[: len(last)] < explore.share]
    # The first of a random order: every ordered choice is equally likely.
    replaced = np.argsort(uniform[len(last) :], kind="stable")[: len(places)]
    return Drawn(places, replaced, kept, explore.share * len(last) / following)


def _uniform(seed: int, count: int) -> Float:
    """Numbers in [0, 1), of a bit generator whose raw stream is the same in every version of numpy."""
    raw = np.asarray(np.random.Philox(key=seed).random_raw(count), np.uint64)
    uniform: Float = (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return uniform
