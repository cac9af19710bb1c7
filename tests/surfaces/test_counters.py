from fourfold.definition import Count, Rate
from fourfold.surfaces import counters


def test_a_count_and_each_rate_in_each_window() -> None:
    assert counters(("viewer", "item.author"), {"like": 0.2}, ("7d", None), strength=3.0) == (
        Count("viewer_author_impressions_7d", ("viewer", "item.author"), window="7d"),
        Rate("viewer_author_like_rate_7d", ("viewer", "item.author"), "like", window="7d", prior=0.2, strength=3.0),
        Count("viewer_author_impressions", ("viewer", "item.author")),
        Rate("viewer_author_like_rate", ("viewer", "item.author"), "like", prior=0.2, strength=3.0),
    )
