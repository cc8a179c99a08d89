"""Objects that are read strictly or leniently, what a kind of system adds to secrets, and tokens of settings."""

import re
from typing import Any

import pytest
from pydantic import ValidationError

from connectory.model import SystemErrorCode
from connectory.redaction import REDACTED, USERS, Redactor
from sources.base import SourceMismatch, SystemSettings, Token
from sources.reading import LenientReader, Reader, count, identifier, mismatches, text
from tests.sources.cases import cases

SENT: dict[str, Any] = {"id": 7, "name": "n", "size": -1, "inner": {"size": -1, "at": {"size": "x"}}, "null": None}


def test_a_strict_reader_names_what_is_wrong() -> None:
    read = Reader(SENT)
    assert (read("name", text), read("null", count), read("absent", text)) == ("n", None, None)
    assert read.demand("id", identifier) == "7"
    for key, said in (("size", "size: expected a counter"), ("null", "null: missing"), ("absent", "absent: missing")):
        with pytest.raises(SourceMismatch, match=said):
            read.demand(key, count)
    with pytest.raises(SourceMismatch, match="size: expected a counter"):
        read("size", count)


@cases("sent", [None, [], "x", 1])
@cases("kind", [Reader, LenientReader])
def test_what_is_no_object_is_refused(kind: type[Reader], sent: object) -> None:
    with pytest.raises(SourceMismatch, match="expected an object"):
        kind(sent)


def test_a_lenient_reader_leaves_out_and_complains() -> None:
    read = LenientReader(SENT)
    inner = read.inner("inner")
    assert (read("size", count), inner("size", count), inner.inner("at")("size", count)) == (None, None, None)
    assert [said.partition(": ")[0] for said in read.complaints] == ["size", "inner.size", "inner.at.size"]
    assert read.inner("absent").sent == {}
    assert read.inner("name").sent == {}
    assert read.complaints[-1] == "name: expected an object, got str"
    with pytest.raises(SourceMismatch, match="size: expected a counter"):
        read.demand("size", count)


def test_complaints_become_problems_each_once() -> None:
    told = [(problem.code, problem.message) for problem in mismatches("job 3", ["a: odd", "b: odd", "a: odd"])]
    assert told == [(SystemErrorCode.MISMATCH, "job 3: a: odd"), (SystemErrorCode.MISMATCH, "job 3: b: odd")]


def test_ids_are_text_or_whole_numbers() -> None:
    assert [identifier(value) for value in ("a", 7, None, "", " ")] == ["a", "7", None, None, None]
    for value in (True, 1.5, ["a"]):
        with pytest.raises(SourceMismatch):
            identifier(value)


SETTING = {"name": "jaas", "value": "PW"}


@cases(
    ("redactor", "shown"),
    [
        (Redactor(), {"jaas": "PW", "of": [SETTING], "pair": ["jaas", "PW"], "url": "http://bob@h"}),
        (
            Redactor(keys=re.compile("jaas"), rules=[USERS]),
            {"jaas": REDACTED, "of": [SETTING], "pair": ["jaas", "PW"], "url": "http://h"},
        ),
        (
            Redactor(keys=re.compile("jaas"), pairs=[dict]),
            {
                "jaas": REDACTED,
                "of": [{"name": "jaas", "value": REDACTED}],
                "pair": ["jaas", "PW"],
                "url": "http://bob@h",
            },
        ),
        (
            Redactor(keys=re.compile("jaas"), pairs=[list]),
            {"jaas": REDACTED, "of": [SETTING], "pair": ["jaas", REDACTED], "url": "http://bob@h"},
        ),
    ],
)
def test_a_kind_says_what_else_is_secret(redactor: Redactor, shown: dict[str, Any]) -> None:
    sent = {"jaas": "PW", "of": [SETTING], "pair": ["jaas", "PW"], "url": "http://bob@h"}
    assert redactor.without_secrets(sent) == shown
    assert redactor.extra({**sent, "id": 1}, {"id"}) == shown


def test_a_pair_is_secret_by_either_name() -> None:
    pair = {"key": "x-trace", "name": "password", "value": "PW"}
    assert Redactor(pairs=[dict]).without_secrets(pair) == {**pair, "value": REDACTED}


def test_values_are_fit_for_both_stores() -> None:
    assert Redactor().without_secrets({"a\x00": ["\x00", "\ud800", "ü"]}) == {"a\ufffd": ["\ufffd", "?", "ü"]}


class _Settings(SystemSettings):
    token: Token


@cases("given", ["abc", " abc\n", "Bearer abc", "  Bearer   abc "])
def test_a_token_is_taken_without_what_was_copied_along(given: str) -> None:
    settings = _Settings.model_validate({"name": "a", "kind": "b", "url": "http://h", "token": given})
    assert settings.token.get_secret_value() == "abc"


@cases("given", ["", " ", "Bearer", "Bearer ", "schlüssel", "a\x07b"])
def test_what_no_header_carries_is_no_token(given: str) -> None:
    with pytest.raises(ValidationError, match="printable ASCII"):
        _Settings.model_validate({"name": "a", "kind": "b", "url": "http://h", "token": given})
