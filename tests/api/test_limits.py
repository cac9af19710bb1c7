"""Token buckets by hand, and never more than what is allowed, however requests come."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourfold.api.limits import Limits, Rate


def test_a_second_of_requests_at_once_then_one_by_one() -> None:
    limits = Limits(Rate(requests=2.0))
    assert [limits.admit("a", 10.0) for _ in range(3)] == [0.0, 0.0, 0.5]
    assert limits.admit("b", 10.0) == 0.0, "each caller has an allowance of its own"
    assert limits.admit("a", 10.25) == 0.25
    assert limits.admit("a", 10.5) == 0.0
    assert limits.admit("a", 10.5) == 0.5
    assert [limits.admit("a", 100.0) for _ in range(3)] == [0.0, 0.0, 0.5], "what was not used is not saved up"


def test_a_body_is_paid_off_after_it_was_let_in() -> None:
    limits = Limits(Rate(bytes=100.0))
    assert limits.admit("a", 0.0) == 0.0
    limits.took("a", 350)
    assert limits.admit("a", 0.0) == pytest.approx(2.51)
    assert limits.admit("a", 2.0) == pytest.approx(0.51)
    assert limits.admit("a", 2.6) == 0.0


def test_less_than_one_request_a_second() -> None:
    limits = Limits(Rate(requests=0.1))
    assert [limits.admit("a", 0.0), limits.admit("a", 0.0)] == [0.0, 10.0]
    assert limits.admit("a", 10.0) == 0.0


def test_no_rate_no_limit() -> None:
    limits = Limits(Rate())
    limits.took("a", 10**12)
    assert {limits.admit("a", 0.0) for _ in range(1_000)} == {0.0}


def test_a_clock_that_stands_still_gives_nothing_back() -> None:
    limits = Limits(Rate(requests=1.0))
    assert limits.admit("a", 5.0) == 0.0
    assert limits.admit("a", 4.0) == 1.0


def test_workers_share_a_rate() -> None:
    assert Rate(requests=10.0, bytes=None).share(4) == Rate(requests=2.5)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_a_rate_lets_something_through(value: float) -> None:
    with pytest.raises(ValueError, match="requests a second lets nothing through; write a number above 0"):
        Rate(requests=value)


@given(
    st.floats(0.1, 100.0),
    st.lists(st.floats(0.0, 3.0), min_size=1, max_size=60),
)
def test_never_more_than_allowed_in_any_span(rate: float, pauses: list[float]) -> None:
    limits, now, admitted = Limits(Rate(requests=rate)), 0.0, []
    for pause in pauses:
        now += pause
        if limits.admit("a", now) == 0.0:
            admitted.append(now)
    for first in range(len(admitted)):
        for last in range(first, len(admitted)):
            assert last - first + 1 <= max(rate, 1.0) + rate * (admitted[last] - admitted[first]) + 1e-6
