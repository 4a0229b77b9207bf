"""Counting per key and minute."""

from __future__ import annotations

import pytest

from serving.access.limits import Limits, TooMany, duration


def test_the_request_after_the_last_one_is_refused_and_other_keys_are_not() -> None:
    limits = Limits(2, 0)
    limits.take("requests", "a")
    limits.take("requests", "a")
    with pytest.raises(
        TooMany, match=r"requests per minute: limit 2, used 2, requested 1. Please try again in"
    ) as error:
        limits.take("requests", "a")
    assert 1 <= error.value.retry_after <= 60
    limits.take("requests", "b")


def test_a_refused_prompt_costs_nothing() -> None:
    limits = Limits(0, 100)
    limits.take("tokens", "a", 60)
    with pytest.raises(TooMany):
        limits.take("tokens", "a", 50)
    assert limits.window("tokens", "a").remaining == 40
    limits.take("tokens", "a", 40)


def test_answers_may_overdraw_and_then_nothing_is_left() -> None:
    limits = Limits(0, 10)
    limits.add("tokens", "a", 25)
    assert limits.window("tokens", "a").remaining == 0
    with pytest.raises(TooMany):
        limits.check("tokens", "a")


def test_a_prompt_beyond_the_whole_minute_is_told_so() -> None:
    with pytest.raises(TooMany, match="more than a whole minute allows"):
        Limits(0, 10).take("tokens", "a", 11)


def test_no_limit_is_no_header() -> None:
    assert Limits(0, 0).headers("a") == {}
    headers = Limits(5, 7).headers("a")
    assert headers["x-ratelimit-limit-requests"] == "5"
    assert headers["x-ratelimit-remaining-tokens"] == "7"


@pytest.mark.parametrize(("seconds", "text"), [(0.12, "120ms"), (1, "1s"), (59.2, "1m0s"), (61, "1m1s"), (0, "0ms")])
def test_durations_are_written_as_openai_writes_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
