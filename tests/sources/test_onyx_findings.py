"""The closer look of the Onyx adapter: documents that failed, and times of stages (onyx.md §2, §5)."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from connectory.model import JobErrorFact, JobFact, JobFindings, Known
from sources.base import SourceAuthFailed, SourceError, SourceMismatch, SourceUnreachable
from sources.onyx import SOURCE
from sources.onyx.client import ERRORS_PAGE
from sources.onyx.findings import PAGES
from sources.onyx.source import OnyxSource
from tests.sources.canned import Canned, Reply
from tests.sources.cases import cases
from tests.sources.contract import collect, remember
from tests.sources.onyx_stage import Answer, configured, errors_path, groups, onyx, pages, read, simulated, stages_path

ITEMS: list[dict[str, Any]] = read("cc_pair/errors.response.json")["items"]
STAGES: dict[str, Any] = read("index_attempt/stage_metrics.response.json")
NO_ROUTE = Reply({"detail": "Not Found"}, 404)
NO_ATTEMPT = Reply({"error_code": "NOT_FOUND", "detail": "Index attempt not found"}, 404)


def item(number: int, attempt: int, **changes: Any) -> dict[str, Any]:
    return {**ITEMS[0], "id": number, "index_attempt_id": attempt, **changes}


async def examine(
    jobs: set[str], errors: Answer, stages: Mapping[int, Answer] | None = None
) -> tuple[Mapping[str, JobFindings], Canned]:
    async with onyx(groups(), errors={10: errors}, stages=stages) as (source, upstream):
        return await source.examine("10", frozenset(jobs)), upstream


async def test_the_examples_in_full() -> None:
    found, _ = await examine({"902"}, pages(ITEMS), {902: Reply(STAGES)})
    at = [datetime(2026, 8, 21, 15, 40, 0, micro, UTC) for micro in (77, 76, 75)]
    document, issue = (ITEMS[place]["document_id"] for place in (0, 1))
    assert found.keys() == {"902"}
    assert found["902"].errors == (
        JobErrorFact("Document exceeded the maximum size", document, ITEMS[0]["document_link"], at[0], False),
        JobErrorFact("Embedding request timed out", issue, None, at[1], False),
        JobErrorFact("Page of results could not be fetched", "example/mobile-app#discussions", None, at[2], False),
    )
    assert found["902"].details == {"document_errors": ITEMS, "stage_metrics": STAGES["stages"]}


async def test_each_attempt_gets_its_own() -> None:
    rows = [item(5, 30), item(4, 20), item(3, 20), item(2, 10)]
    found, upstream = await examine({"30", "20", "25"}, pages(rows), {20: Reply(STAGES)})
    assert {job: len(findings.errors or ()) for job, findings in found.items()} == {"30": 1, "20": 2, "25": 0}
    assert found["25"].errors == ()
    assert found["25"].details == {"document_errors": []}
    assert found["20"].details["stage_metrics"] == STAGES["stages"]
    (asked,) = (asked for asked in upstream.asked if asked.path == errors_path(10))
    assert asked.query == {"include_resolved": "true", "page_num": "0", "page_size": "100"}


@cases(("attempt", "requests"), [(99, 2), (98, 3), (96, 5), (90, 11), (1, 12)])
async def test_reading_ends_where_all_are_older(attempt: int, requests: int) -> None:
    """A page holds a hundred errors, and an attempt has a hundred: 99 stands on the first page alone."""
    rows = [item(number, number // ERRORS_PAGE) for number in range(10_000 - 1, 9_000 - 101, -1)]
    found, upstream = await examine({str(attempt)}, pages(rows))
    assert upstream.paths.count(errors_path(10)) == requests
    assert len(found[str(attempt)].errors or ()) == (ERRORS_PAGE if attempt > 88 else 0)


async def test_reading_ends_after_so_many_pages() -> None:
    rows = [item(number, 7) for number in range(ERRORS_PAGE * (PAGES + 2), 0, -1)]
    found, upstream = await examine({"7"}, pages(rows))
    assert upstream.paths.count(errors_path(10)) == PAGES
    assert len(found["7"].errors or ()) == ERRORS_PAGE * PAGES


async def test_a_server_that_repeats_its_page_is_not_asked_for_ever() -> None:
    same = Reply({"items": [item(number, 7) for number in range(ERRORS_PAGE)], "total_items": 900})
    found, upstream = await examine({"7"}, same)
    assert upstream.paths.count(errors_path(10)) == 2
    assert len(found["7"].errors or ()) == ERRORS_PAGE


async def test_errors_that_move_to_the_next_page_are_told_once() -> None:
    rows = [item(number, 7) for number in range(150, 0, -1)]

    def growing(asked: Any) -> Reply:
        added = [item(151, 7)] if asked.query["page_num"] == "1" else []
        return pages([*added, *rows])(asked)

    found, _ = await examine({"7"}, growing)
    assert [row["id"] for row in found["7"].details["document_errors"]] == list(range(150, 0, -1))


@cases(
    "change",
    [
        {"failure_message": None},
        {"failure_message": 7},
        {"time_created": "yesterday"},
        {"is_resolved": "no"},
        {"document_id": 7},
    ],
)
async def test_an_unreadable_error_is_kept_as_it_was_sent(change: dict[str, Any]) -> None:
    rows = [item(2, 7, **change), item(1, 7)]
    found, _ = await examine({"7"}, pages(rows))
    assert len(found["7"].errors or ()) == 1
    assert found["7"].details["document_errors"] == rows


@cases("odd", ["odd", None, {"index_attempt_id": "7"}, {"id": 3}])
async def test_an_error_of_nobody_costs_only_itself(odd: Any) -> None:
    found, _ = await examine({"7"}, Reply({"items": [odd, item(1, 7)], "total_items": 2}))
    assert [row["id"] for row in found["7"].details["document_errors"]] == [1]


async def test_no_secret_is_kept() -> None:
    row = item(
        1,
        7,
        failure_message="GET https://bob:hidden-1@example.com failed",
        document_id="https://bob:hidden-2@example.com/a",
        document_link="https://bob:hidden-3@example.com/a",
        context={"api_token": "hidden-4", "page": 3},
    )
    found, _ = await examine({"7"}, pages([row]), {7: Reply({"stages": [{"stage": "X", "password": "hidden-5"}]})})
    assert "hidden" not in repr(found)
    (kept,) = found["7"].details["document_errors"]
    assert kept["context"] == {"api_token": "[redacted]", "page": 3}
    assert kept["connector_credential_pair_id"] == row["connector_credential_pair_id"]
    (error,) = found["7"].errors or ()
    assert (error.message, error.url) == ("GET https://example.com failed", "https://example.com/a")


# ---- stages


@cases(
    "refusal",
    [
        NO_ROUTE,
        Reply(text="<html>", status=404),
        Reply({"error_code": "INSUFFICIENT_PERMISSIONS", "detail": "You do not have the required permissions"}, 403),
        Reply({"message": "unknown"}, 400),
    ],
)
async def test_a_server_without_stages_is_not_asked_again(refusal: Reply) -> None:
    numbers = range(1, 20)
    stages: dict[int, Answer] = dict.fromkeys(numbers, refusal)
    async with onyx(groups(), errors={10: pages(ITEMS)}, stages=stages) as (source, upstream):
        found = await source.examine("10", frozenset(map(str, numbers)))
        assert len([path for path in upstream.paths if "stage-metrics" in path]) <= 4  # those under way at once
        upstream.asked.clear()
        await source.examine("10", frozenset({"1"}))
    assert upstream.paths == [errors_path(10)]
    assert not [job for job, findings in found.items() if "stage_metrics" in findings.details]


async def test_an_attempt_that_was_pruned_says_nothing_of_the_others() -> None:
    async with onyx(groups(), errors={10: pages([])}, stages={1: NO_ATTEMPT, 2: Reply(STAGES)}) as (source, upstream):
        for _ in range(2):
            found = await source.examine("10", frozenset({"1", "2"}))
            assert "stage_metrics" not in found["1"].details
            assert found["2"].details["stage_metrics"] == STAGES["stages"]
    assert upstream.paths.count(stages_path(1)) == 2


@cases("body", [[], {"stages": None}, {}, "x"])
async def test_stages_of_another_shape_are_not_told(body: Any) -> None:
    found, _ = await examine({"7"}, pages([]), {7: Reply(body)})
    assert found["7"].details == {"document_errors": []}


@cases(
    ("reply", "error"),
    [
        (Reply({"detail": "oops"}, 500), SourceUnreachable),
        (Reply({"detail": "Access denied. User is not authenticated."}, 403), SourceAuthFailed),
        (Reply({"error_code": "SESSION_EXPIRED", "detail": "expired"}, 403), SourceAuthFailed),
        (Reply({"detail": "no such method"}, 405), SourceMismatch),
    ],
)
async def test_other_trouble_is_raised_and_asked_again(reply: Reply, error: type[SourceError]) -> None:
    async with onyx(groups(), errors={10: pages(ITEMS)}, stages={902: reply}) as (source, upstream):
        with pytest.raises(error):
            await source.examine("10", frozenset({"902"}))
        upstream.answers[f"GET {stages_path(902)}"] = Reply(STAGES)
        found = await source.examine("10", frozenset({"902"}))
    assert found["902"].details["stage_metrics"] == STAGES["stages"]


# ---- who is asked for


@cases("connector", ["federated:1", "12"])
async def test_what_is_not_there_is_looked_at_in_vain(connector: str) -> None:
    async with onyx(groups()) as (source, upstream):
        assert await source.examine(connector, frozenset({"7"})) == {}
    assert upstream.paths == ([] if connector == "federated:1" else [errors_path(12)])


async def test_the_simulated_world_names_every_error_that_it_counts() -> None:
    async with simulated() as api:
        api.hand.move(900)
        source = OnyxSource(configured(f"{api.url}/api", token="on_simulated"))
        try:
            known = remember(Known(), await source.poll(Known()))
            jobs, _ = await collect(source, known, frozenset(known.connectors))
            by_pair: dict[str, list[JobFact]] = {}
            for job in jobs:
                by_pair.setdefault(job.connector or "", []).append(job)
            counted = told = 0
            for pair, of_pair in by_pair.items():
                found = await source.examine(pair, frozenset(job.external_id for job in of_pair))
                for job in of_pair:
                    findings = found[job.external_id]
                    assert len(findings.errors or ()) == len(findings.details["document_errors"]) == job.counts.failed
                    assert json.dumps(findings.details["stage_metrics"])
                    counted, told = counted + (job.counts.failed or 0), told + len(findings.errors or ())
        finally:
            await source.close()
    assert counted == told > 10
    assert SOURCE.examines
