"""Counts and rates by the dozen: most features of a feed are the same few questions, asked by other keys and windows."""

from collections.abc import Mapping, Sequence

from fourfold.definition import Count, Rate


def counters(
    by: Sequence[str], rates: Mapping[str, float], windows: Sequence[str | None] = (None,), *, strength: float = 10.0
) -> tuple[Count | Rate, ...]:
    """The impressions of a key, and its rate of each action, in each window.

    Parameters
    ----------
    by : sequence of str
        One or two key parts, such as ``("viewer", "item.author")``; the features are then named ``viewer_author_...``.
    rates : mapping of str to float
        Actions, each with the rate to expect of a key that has no impressions yet.
    windows : sequence of str or None
        Durations; None is everything before.
    strength : float
        How many impressions the expected rate is worth.
    """
    key = "_".join(part.rpartition(".")[2] for part in by)
    found: list[Count | Rate] = []
    for window in windows:
        suffix = f"_{window}" if window else ""
        found.append(Count(name=f"{key}_impressions{suffix}", by=tuple(by), window=window))
        found += [
            Rate(
                name=f"{key}_{action}_rate{suffix}",
                by=tuple(by),
                action=action,
                window=window,
                prior=prior,
                strength=strength,
            )
            for action, prior in rates.items()
        ]
    return tuple(found)
