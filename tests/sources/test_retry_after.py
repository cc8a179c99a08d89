"""Retry-After, as a server may send it and as nobody should."""

import pytest

from connectory.http.headers import LONGEST_RETRY_AFTER, retry_after
from tests.facts import T0

SENT = "Thu, 20 Aug 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("3600", 3600.0),
        ("3601", 3600.0),
        ("9" * 5_000, 3600.0),
        ("Thu, 20 Aug 2026 10:00:09 GMT", 9.0),
        ("Thu, 20 Aug 2026 12:00:09 +0200", 9.0),
        ("Thu, 20 Aug 2026 09:00:00 GMT", 0.0),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0),
        ("Fri, 31 Dec 9999 23:59:59 -2359", None),
    ],
)
def test_it_is_whole_digits_or_a_date_and_an_hour_at_most(said: str, seconds: float | None) -> None:
    assert LONGEST_RETRY_AFTER == 3600
    assert retry_after({"Retry-After": said}, T0) == seconds


@pytest.mark.parametrize(
    "said",
    [
        "", "soon", "-1", "+1", "1.5", "1e3", "1e400", "inf", "nan", "0x10", "1_0", "\N{SUPERSCRIPT TWO}", "7, 8", "7;",
        "Fri, 31 Dec 99999999999999999999 23:59:59 GMT", "Fri, 31 Dec 10000 23:59:59 GMT",
        "Thu, 20 Aug 2026 99:00:00 GMT", "Thu, 20 Aug 2026 10:00:00 +99999999999999999999",
    ],
)  # fmt: skip
def test_anything_else_is_none(said: str) -> None:
    assert retry_after({"Retry-After": said}, T0) is None


def test_without_one_there_is_none() -> None:
    assert retry_after({}, T0) is None


@pytest.mark.parametrize(("sent", "seconds"), [(SENT, 60.0), ("Thu, 20 Aug 2026 09:59:00 GMT", 120.0), ("?", 30.0)])
def test_a_date_counts_from_the_answers_own(sent: str, seconds: float) -> None:
    """A server whose clock is wrong is wrong in both."""
    told = {"Retry-After": "Thu, 20 Aug 2026 10:01:00 GMT", "Date": sent}
    assert retry_after(told, T0.replace(second=30)) == seconds
