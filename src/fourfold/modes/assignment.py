"""Which variant of an experiment a viewer gets: a function of surface, experiment and viewer alone, kept nowhere."""

import hashlib
import json

from fourfold.definition.experiments import HOLDOUT, Experiment

_EVERYBODY = 1.0 - 1e-9
"""Shares that add up to 1 but for rounding leave nobody out."""


def assigned(surface: str, name: str, experiment: Experiment, viewer: str) -> str | None:
    """The variant of a viewer, ``"holdout"``, or None for one who takes no part.

    Whether a viewer takes part, and in which variant, are drawn apart: while shares grow in proportion, nobody changes variant.
    """
    drawn, shares = _uniform(surface, name, "part", viewer), experiment.shares
    if drawn < experiment.holdout:
        return HOLDOUT
    total = sum(shares.values())
    if experiment.holdout + total <= min(drawn, _EVERYBODY):
        return None
    left = _uniform(surface, name, "variant", viewer) * total
    variants = iter(shares.items())
    variant, share = next(variants)
    while left >= share:
        left -= share
        variant, share = next(variants, (variant, 1.0))
    return variant


def _uniform(surface: str, name: str, what: str, viewer: str) -> float:
    """A number in [0, 1), the same wherever it is computed and independent between experiments."""
    digest = hashlib.blake2b(json.dumps([surface, name, what, viewer]).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) * 2.0**-53
