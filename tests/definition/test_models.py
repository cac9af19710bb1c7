import pytest

from fourfold.definition import DCNv2, DefinitionError, FeedSR, TwoTower


def test_the_width_splits_into_heads_of_even_size() -> None:
    assert FeedSR(width=64, heads=8).width == 64
    with pytest.raises(
        DefinitionError, match=r"FeedSR\.width: 50 does not split into 4 heads of even size; write a multiple of 8"
    ):
        FeedSR(width=50)


@pytest.mark.parametrize("model", [FeedSR, DCNv2])
def test_dropout_is_a_fraction(model: type[FeedSR] | type[DCNv2]) -> None:
    with pytest.raises(DefinitionError, match=r"dropout: .*write a number less than 1"):
        model(dropout=1.0)


def test_sizes_are_positive() -> None:
    with pytest.raises(DefinitionError, match=r"TwoTower\.recent: .*at least 1"):
        TwoTower(recent=0)
