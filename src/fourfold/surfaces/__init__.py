"""Ready-made definitions: a feed, people you may know, and one for each public data set."""

from fourfold.surfaces.counters import counters
from fourfold.surfaces.feed import feed
from fourfold.surfaces.presets import PRESETS
from fourfold.surfaces.pymk import pymk

__all__ = ["PRESETS", "counters", "feed", "pymk"]
