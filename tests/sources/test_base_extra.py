"""What an adapter keeps of values that it does not know, and what keeping them costs."""

import json
from collections.abc import Callable
from time import perf_counter
from typing import Any

from connectory.redaction import LARGEST_UNKNOWN, REDACTED, bounded, extra, without_secrets
from tests.sources.cases import cases

_NOTHING_KNOWN = frozenset[str]()


def of_length(length: int) -> str:
    """A text whose JSON text has so many characters."""
    return "x" * (length - 2)


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def test_an_unknown_value_is_kept_and_a_known_one_is_not() -> None:
    assert extra({"id": 1, "rank": [1, {"of": None}]}, frozenset({"id"})) == {"rank": [1, {"of": None}]}
    assert extra({"id": 1}, frozenset({"id"})) is None


def test_a_text_that_is_too_large_leaves_a_note() -> None:
    large = "x" * 52_428_800
    assert extra({"padding": large, "rank": 1}, _NOTHING_KNOWN) == {
        "padding": "[left out: 52,428,800 characters]",
        "rank": 1,
    }


@cases(
    ("what", "of_size"),
    {
        "a text": of_length,
        "a list of one": lambda size: [of_length(size - 2)],
        "a list of all kinds": lambda size: [1.5, -70, None, True, False, [], {}, of_length(size - 32)],
        "an object of one": lambda size: {"key": of_length(size - 8)},
        "an object with a large key": lambda size: {of_length(size - 5): 10},
        "objects within objects": lambda size: {"a": {"b": [{"c": 1}]}, "d": of_length(size - 26)},
    }.items(),
)
def test_the_limit_is_the_length_of_the_json_text(what: str, of_size: Callable[[int], Any]) -> None:
    fits, does_not = of_size(LARGEST_UNKNOWN), of_size(LARGEST_UNKNOWN + 1)
    assert len(compact(fits)) == LARGEST_UNKNOWN
    assert len(compact(does_not)) == LARGEST_UNKNOWN + 1
    assert extra({"odd": fits}, _NOTHING_KNOWN) == {"odd": fits}
    shown = extra({"odd": does_not}, _NOTHING_KNOWN)
    assert shown is not None
    size = f"{LARGEST_UNKNOWN - 1:,}" if isinstance(does_not, str) else f"more than {LARGEST_UNKNOWN:,}"
    assert shown == {"odd": f"[left out: {size} characters]"}


def test_a_secret_that_is_too_large_stays_a_secret() -> None:
    assert extra({"token": "x" * 100_000, "secrets": [1] * 100_000}, _NOTHING_KNOWN) == {
        "token": REDACTED,
        "secrets": REDACTED,
    }


@cases(
    ("what", "make"),
    {
        "one text": lambda: "x" * 50_000_000,
        "many numbers": lambda: [0] * 5_000_000,
        "many lists": lambda: [[0] * 100] * 100_000,
        "many objects": lambda: {str(number): {"of": "x" * 100} for number in range(100_000)},
    }.items(),
)
def test_a_huge_value_costs_no_more_than_a_large_one(what: str, make: Callable[[], Any]) -> None:
    value = make()
    began = perf_counter()
    for _ in range(10):
        assert bounded(value).startswith("[left out: ")
    assert perf_counter() - began < 1.0


@cases("piece", ["a-", "x", "password", "://", "=", "token ", "http://a:b:", "://@", "pwd= "])
def test_long_texts_are_searched_in_passing(piece: str) -> None:
    began = perf_counter()
    without_secrets("http://" + piece * (200_000 // len(piece)) + " password=hush ://x:y@")
    assert perf_counter() - began < 2.0
