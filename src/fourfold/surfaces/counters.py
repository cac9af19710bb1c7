"""Counts and rates by the dozen: most features of a feed are the same few questions, asked by other keys and windows."""

from collections.abc import Mapping, Sequence

from fourfold.definition import Count, Rate


def counters(
    by: Sequence[str],
    rates: Mapping[str, float],
    windows: Sequence[str | None] = (None,),
    *,
    half_lives: Sequence[str] = (),
    strength: float = 10.0,
) -> tuple[Count | Rate, ...]:
    """The impressions of a key, and its rate of each action, in each window and with each half-life.

    Parameters
    ----------
    by : sequence of str
        One or two key parts, such as ``("viewer", "item.author")``; the features are then named ``viewer_author_...``.
    rates : mapping of str to float
        Actions, each with the rate to expect of a key that has no impressions yet.
    windows : sequence of str or None
        Durations; None is everything before.
    half_lives : sequence of str
        Durations; those features end in ``_decayed_7d``.
    strength : float
        How many impressions the expected rate is worth.
    """
    spans: list[tuple[str, str | None, str | None]] = [(f"_{window}" if window else "", window, None) for window in windows]
    spans += [(f"_decayed_{half_life}", None, half_life) for half_life in half_lives]
    key = "_".join(part.rpartition(".")[2] for part in by)
    found: list[Count | Rate] = []
    for suffix, window, half_life in spans:
        found.append(Count(name=f"{key}_impressions{suffix}", by=tuple(by), window=window, half_life=half_life))
        found += [
            Rate(
                name=f"{key}_{action}_rate{suffix}",
                by=tuple(by),
                action=action,
                window=window,
                half_life=half_life,
                prior=prior,
                strength=strength,
            )
            for action, prior in rates.items()
        ]
    return tuple(found)
