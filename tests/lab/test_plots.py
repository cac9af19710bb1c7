"""Plots are well-formed, to scale, and safe whatever text is in them."""

import xml.etree.ElementTree as ET

import pytest

from fourfold.lab.plots import bars, columns, curve


def numbers(svg: str, tag: str, name: str) -> list[float]:
    return [float(one.attrib[name]) for one in ET.fromstring(svg).iter(tag)]


def test_bars_are_to_scale_and_say_their_value() -> None:
    svg = bars([("a", 1.0, "1 %"), ("b", 4.0, "4 %"), ("c", 0.0, "-")], "Rates")
    widths = numbers(svg, "rect", "width")
    assert widths == [pytest.approx(widths[1] / 4), pytest.approx(440), 0]
    assert [text.text for text in ET.fromstring(svg).iter("text")] == ["a", "1 %", "b", "4 %", "c", "-"]


def test_columns_are_to_scale_and_side_by_side() -> None:
    svg = columns(["1 May", "2 May"], [("seen", [2, 4]), ("done", [1, 0])], "Per day")
    assert numbers(svg, "rect", "height") == [90, 180, 45, 0]
    left, right = numbers(svg, "rect", "x")[0], numbers(svg, "rect", "x")[2]
    assert right == pytest.approx(left + numbers(svg, "rect", "width")[0])
    titles = [title.text for title in ET.fromstring(svg).iter("title")]
    assert titles == ["1 May: 2 seen", "2 May: 4 seen", "1 May: 1 done", "2 May: 0 done"]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 400])
def test_few_labels_are_written_and_none_twice(count: int) -> None:
    days = [f"day {number}" for number in range(count)]
    texts = [text.text for text in ET.fromstring(columns(days, [("seen", [1] * count)], "Per day")).iter("text")][2:]
    assert texts == sorted({*days[:1], *days[count // 2 : count // 2 + 1], *days[-1:]}, key=days.index)


def test_a_curve_goes_from_corner_to_corner() -> None:
    (line,) = ET.fromstring(curve([0, 0.8, 1], "Share")).iter("polyline")
    assert line.attrib["points"] == "50.0,270.0 180.0,62.0 310.0,10.0"


@pytest.mark.parametrize("svg", [bars([], "x"), columns([], [("a", [])], "x"), curve([], "x"), bars([("a", 0, "0")], "x")])
def test_nothing_to_draw_is_drawn(svg: str) -> None:
    ET.fromstring(svg)


def test_names_are_no_markup() -> None:
    evil = '<script>"&'
    for svg in (bars([(evil, 1, evil)], evil), columns([evil], [(evil, [1])], evil), curve([1], evil)):
        assert "<script>" not in svg
        assert ET.fromstring(svg).attrib["aria-label"] == evil
