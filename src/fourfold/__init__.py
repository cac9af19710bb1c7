"""Fourfold: one definition of a recommender, served offline, nearline, online and remote."""

__version__ = "0.1.0"
