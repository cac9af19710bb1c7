"""The page says what the description says, is one file, and loads nothing."""

import re
from html.parser import HTMLParser

import pytest
from msgspec import structs

from fourfold.features.view import NEVER
from fourfold.lab.describe import describe
from fourfold.lab.describe_page import describe_page
from fourfold.lab.description import Description
from tests.features.samples import state_of
from tests.lab.test_describe import BY_HAND, SMALL


class Tags(HTMLParser):
    """Checks that tags are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def found(events: bool = True) -> Description:
    return describe(state_of(BY_HAND if events else [], SMALL).view(), NEVER)


@pytest.mark.parametrize("events", [True, False])
def test_the_page_is_well_formed_and_loads_nothing(events: bool) -> None:
    page = describe_page([found(events), found(events)])
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert re.findall(r"(?:src|href|url|@import|<script|<link)", page) == []
    assert page.count("<svg") == (8 if events else 6)


def test_what_was_found_is_on_it() -> None:
    text = re.sub(r"<[^>]+>", "|", describe_page([found()]))
    for said in (
        "01 January 2024, 00:00 to 03 January 2024, 01:00 UTC",
        "|4|impressions|",
        "|5|sessions|",
        "2 items that were never shown| (50.00%)",
        "25.00%",
        "|post.size||number||100.0%||4|",
        "2024-01-02: 0 impressions",
    ):
        assert said in text, said


def test_names_from_the_data_are_no_markup() -> None:
    evil = "<script>alert(1)</script>"
    one = found()
    wrong = [structs.replace(suspicion, examples=[evil]) for suspicion in one.suspicious]
    page = describe_page([structs.replace(one, surface=evil, suspicious=wrong, events={evil: 1})])
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 3
