"""The edits that faults are made of."""

import json
from typing import Any

import aiohttp
import pytest

from sources.simulation import FAULTS, Clock, Edit, Faults, serve
from sources.simulation.faults import edited
from sources.zensearch import SOURCE
from tests.faults.table import CASES

BODY: dict[str, Any] = {"count": 2, "results": [{"id": "a"}, {"id": "b"}]}


def sent(*edits: Edit) -> Any:
    return json.loads(edited(json.dumps(BODY).encode(), edits))


EDITS: list[tuple[Edit, Any]] = [
    (Edit("", ["results", 0, "id"], "put", 7), {"count": 2, "results": [{"id": 7}, {"id": "b"}]}),
    (Edit("", ["results"], "keep", 1), {"count": 2, "results": [{"id": "a"}]}),
    (Edit("", ["results"], "repeat", 2), {"count": 2, "results": BODY["results"] * 2}),
    (Edit("", ["padding"], "fill", 3), {**BODY, "padding": "xxx"}),
    (Edit("", [], "put", []), []),
    (Edit("", ["results", 5], "put", 7), BODY),
    (Edit("", ["nothing", "there"], "put", 7), BODY),
]


def test_edit() -> None:
    assert [(edit, sent(edit)) for edit, _ in EDITS] == EDITS


def test_a_list_swells_to_its_size() -> None:
    results = sent(Edit("", ["results"], "swell", 1000))["results"]
    assert 900 <= len(json.dumps(results)) <= 1100
    assert results[:2] == results[2:4] == BODY["results"]


def test_an_unknown_operation_is_refused() -> None:
    with pytest.raises(ValueError, match="swallow"):
        Edit("", [], "swallow")


def test_so_many_answers_are_edited() -> None:
    faults = Faults(edits=[Edit("/list", [], "put", [])], edited_answers=1)
    assert [len(faults.edits_of(path)) for path in ("/other", "/list", "/list")] == [0, 1, 0]


async def test_every_fault_can_be_switched_over_http() -> None:
    assert SOURCE.simulator is not None
    differing = {}
    async with serve(SOURCE.simulator(clock=Clock())) as running, aiohttp.ClientSession() as session:
        for fault, kind in CASES:
            switches = fault.switches_of(kind)
            async with session.post(f"{running.url}/_simulator/faults", json=switches) as answer:
                seen = answer.status, running.app[FAULTS]
            if seen != (200, Faults(**switches)):
                differing[fault.name, kind] = seen
    assert differing == {}
