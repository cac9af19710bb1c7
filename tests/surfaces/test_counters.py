from fourfold.definition import Count, Rate
from fourfold.surfaces import counters


def test_a_count_and_each_rate_in_each_window() -> None:
    assert counters(("viewer", "item.author"), {"like": 0.2}, ("7d", None), strength=3.0) == (
        Count("viewer_author_impressions_7d", ("viewer", "item.author"), window="7d"),
        Rate("viewer_author_like_rate_7d", ("viewer", "item.author"), "like", window="7d", prior=0.2, strength=3.0),
        Count("viewer_author_impressions", ("viewer", "item.author")),
        Rate("viewer_author_like_rate", ("viewer", "item.author"), "like", prior=0.2, strength=3.0),
    )


def test_half_lives_come_after_the_windows() -> None:
    assert counters(("item",), {"like": 0.2}, ("1d",), half_lives=("7d",)) == (
        Count("item_impressions_1d", ("item",), window="1d"),
        Rate("item_like_rate_1d", ("item",), "like", window="1d", prior=0.2),
        Count("item_impressions_decayed_7d", ("item",), half_life="7d"),
        Rate("item_like_rate_decayed_7d", ("item",), "like", half_life="7d", prior=0.2),
    )
    assert len(counters(("item",), {"like": 0.2}, (), half_lives=("1d", "7d"))) == 4
