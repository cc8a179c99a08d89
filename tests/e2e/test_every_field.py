"""Each example payload is exercised by tests/e2e/fields, or there is a reason why not; and no reason has outlived its
payload."""

import json
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from tests.e2e.fields import test_elastic, test_feldera, test_fusion, test_lucidworks, test_onyx, test_zensearch
from tests.e2e.fields.comparison import differences
from tests.e2e.fields.exceptions import EXCEPTIONS, NOT_POLLED
from tests.e2e.fields.probe import MARK, selection
from tests.paths import EXAMPLES

MODULES = (test_onyx, test_elastic, test_lucidworks, test_fusion, test_feldera, test_zensearch)
EXERCISED = frozenset().union(*(module.EXERCISED for module in MODULES))
FILES = sorted(path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*") if path.is_file())
LEFT_ALONE = {glob: {path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.glob(glob)} for glob in NOT_POLLED}


def test_every_payload_is_exercised_or_has_a_reason() -> None:
    reasoned = frozenset().union(*LEFT_ALONE.values())
    assert EXERCISED | reasoned == set(FILES)
    assert EXERCISED & reasoned == set()


def test_reasons_have_payloads() -> None:
    """Each one of its own."""
    times = Counter(file for found in LEFT_ALONE.values() for file in found)
    assert [glob for glob, found in LEFT_ALONE.items() if all(times[file] > 1 for file in found)] == []
    assert [glob for glob, reason in NOT_POLLED.items() if not reason] == []


def paths(value: Any, before: str = "") -> Iterator[str]:
    """Dotted paths of all keys, those of lists' entries too; the payload's own place in its file does not matter."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield f"{before}.{key}"
            yield from paths(inner, f"{before}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from paths(inner, before)


def test_exceptions_stand_in_payloads() -> None:
    found: dict[str, set[str]] = {}
    for file in EXERCISED:
        found.setdefault(file.split("/")[0], set()).update(paths(json.loads(EXAMPLES.joinpath(file).read_text())))
    outlived = []
    for name in EXCEPTIONS:
        whose, path = name.split(": ")
        if not any(fnmatchcase(one, f"*.{path}") for one in found.get(whose.split()[0], ())):
            outlived.append(name)
    assert outlived == []
    assert [name for name, reason in EXCEPTIONS.items() if not reason] == []


def test_the_comparison_can_fail() -> None:
    nodes = {"job": {"externalId": "7", "details": {"extra": None}}}
    table = {"id": "job.externalId", "note": "job.details.extra.note", "inner.key": "job.details.key"}
    assert differences("none", nodes, {"id": 7}, table) == []
    assert differences("none", nodes, {"note": None, "inner": None}, {**table, "inner.key": "job.externalId"}) != []
    for sent in ({"id": 8}, {"note": "x"}, {"inner": {"key": 1}}, {"inner": {"other": 1}}, {"unknown": None}):
        assert len(differences("none", nodes, sent, table)) == 1, sent


def test_secrets_of_the_examples_are_marked() -> None:
    """``told`` looks for the mark in everything that it is told."""
    marked = {file.split("/")[0] for file in EXERCISED if MARK in EXAMPLES.joinpath(file).read_text()}
    assert marked == {"elastic", "feldera", "lucidworks"}


def test_the_query_asks_for_details_of_every_system() -> None:
    asked = {name: selection(name) for name in ("Connector", "Job")}
    systems = ("Onyx", "Elastic", "Lucidworks", "Feldera", "ZenSearch", "Other")
    assert [
        (name, system) for name, text in asked.items() for system in systems if f"... on {system}" not in text
    ] == []
