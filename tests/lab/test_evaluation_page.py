"""The page of an evaluation: one file, well formed, its figures and its sentences those of the evaluation."""

from html.parser import HTMLParser

import pytest
from msgspec.structs import replace

from fourfold.lab.buckets import BucketMetrics, Buckets
from fourfold.lab.evaluation import Evaluation
from fourfold.lab.evaluation_page import evaluation_page, verdict
from fourfold.training.evaluation import ActionMetrics
from fourfold.training.metrics import Bin

CLICK = ActionMetrics(
    impressions=900,
    positives=400,
    auc=0.75,
    auc_ci=(0.73, 0.77),
    member_auc=0.6,
    member_auc_ci=(0.58, 0.62),
    ne=0.9,
    ece=0.01,
    popularity_auc=0.7,
    popularity_member_auc=0.55,
    calibration=[Bin(count=450, predicted=0.2, observed=0.22), Bin(count=450, predicted=0.7, observed=0.66)],
)
NEVER = ActionMetrics(
    impressions=900, positives=0, auc=None, auc_ci=None, member_auc=None, ne=None, ece=0.0, popularity_auc=None
)
PART = BucketMetrics(impressions=450, positives=200, auc=0.71, popularity_auc=0.66)
NOTHING = BucketMetrics(impressions=0, positives=0, auc=None, popularity_auc=None)
PARTS = {name: {"click": PART if name != "0" else NOTHING, "<odd> & co": NOTHING} for name in ("0", "1-5", "6-20", "21+")}
LISTS: dict[str, float | tuple[float, float] | None] = {
    "members": 120,
    "coverage@20": 0.3,
    "recall@20": 0.15,
    "recall@20_ci": (0.1, 0.2),
    "ndcg@20": 0.12,
    "ndcg@20_ci": (0.1, 0.14),
    "novelty@20": 9.5,
    "novelty@20_ci": (9.0, 10.0),
}
FOUND = Evaluation(
    surface="feed",
    version="v3",
    protocol="time",
    freshness="request",
    since=1_651_622_400_000,
    until=1_651_795_199_000,
    impressions=900,
    members=80,
    new_members=7,
    new_items=3,
    target=None,
    taken=None,
    actions={"click": CLICK, "<odd> & co": NEVER},
    buckets=Buckets(history=PARTS, item_age=PARTS),
    slates=LISTS,
    sources={
        "popularity": LISTS | {"recall@500": 0.6, "recall@500_ci": (0.5, 0.7)},
        "two & two": LISTS | {"recall@500": None, "recall@500_ci": None},
    },
    warnings=["fewer than 50 positives of <odd> & co: their figures say little"],
)


class Reader(HTMLParser):
    """Every tag that opens must close, nothing is loaded, and what is written is kept."""

    VOID = ("meta", "br", "path", "circle", "rect", "polyline")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not {"src", "href", "onclick"} & {name for name, _ in attrs}, (tag, attrs)
        assert tag not in ("script", "link", "img")
        self.seen.append(tag)
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(found: Evaluation) -> Reader:
    reader = Reader()
    page = evaluation_page(found)
    assert "http" not in page
    assert "nan" not in page
    reader.feed(page)
    assert reader.open == []
    return reader


def test_the_page_says_what_was_found() -> None:
    reader = read(FOUND)
    for said in (
        "How good is feed v3?",
        "04 May 2022, 00:00 to 05 May 2022, 23:59 UTC",
        "click is predicted better than by popularity.",
        "<odd> & co cannot be judged: it happened never, or always.",
        "Careful: fewer than 50 positives of <odd> & co",
        "0.750 against 0.700",
        "0.730 to 0.770",
        "450 impressions: predicted 20.00%, observed 22.00%",
        "120 members were asked",
        "two & two",
    ):
        assert said in reader.text, said
    assert reader.seen.count("svg") == 6


@pytest.mark.parametrize(
    ("interval", "said"),
    [
        ((0.71, 0.8), "is predicted better than by popularity"),
        ((0.6, 0.69), "is predicted worse than by popularity alone"),
        ((0.69, 0.71), "is not clearly predicted better than by popularity"),
    ],
)
def test_a_verdict_goes_by_the_interval(interval: tuple[float, float], said: str) -> None:
    assert verdict(replace(CLICK, auc_ci=interval)) == said


def test_a_version_without_a_ranker_and_members_who_liked_nothing() -> None:
    text = read(replace(FOUND, actions={}, buckets=None, slates={}, sources={})).text
    assert "This version has no ranker" in text
    assert "Nobody liked an item that was new to them" in text


def test_what_was_known_is_said() -> None:
    assert "what was known at midnight (UTC) before it" in read(replace(FOUND, freshness="day")).text
