from collections.abc import Iterable
from typing import Any

import pytest
from pydantic import ValidationError

from connectory.model import HistoryBatch, Known, KnownConnector, SystemErrorCode
from sources.base import SourceAuthFailed, SourceMismatch, SourceRateLimited, SourceUnreachable
from sources.onyx import SOURCE
from sources.onyx.settings import OnyxSettings
from sources.onyx.simulator.world import OnyxWorld
from sources.onyx.source import HISTORY_PAGE, POLL_PAGE, OnyxSource
from tests.sources.canned import Asked, Reply, canned
from tests.sources.cases import cases
from tests.sources.contract import SourceContract, Upstream, collect, remember
from tests.sources.onyx_stage import LIST, Answer, attempt, attempts_path, configured, groups, onyx, pages, pair


class TestOnyx(SourceContract):
    kind = SOURCE

    def jobs_held(self, world: OnyxWorld) -> set[str]:
        return {str(number) for number in world.attempts}

    async def test_a_pair_that_vanishes_takes_its_open_jobs_along(self, source: OnyxSource, upstream: Upstream) -> None:
        first = await source.poll(Known())
        known = remember(Known(), first)
        job, pair = next((job, pair) for job, pair in known.open_jobs.items() if pair is not None)
        del upstream.world.pairs[int(pair)]
        second = await source.poll(known)
        assert pair not in {fact.external_id for fact in second.connectors}
        assert second.gone_jobs == {job}
        assert second.complete
        assert not second.problems


# ---- settings


@cases("token", ["", "  ", "Bearer ", "on_ü", "on_a\nb"])
def test_a_token_must_fit_into_a_header(token: str) -> None:
    with pytest.raises(ValidationError) as caught:
        configured("http://127.0.0.1/api", token=token)
    assert "on_" not in str(caught.value)


@cases("changes", [{"url": "nowhere"}, {"tokn": "x"}, {"timeout": "soon"}])
def test_no_complaint_about_settings_shows_the_token(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        OnyxSettings.model_validate({"name": "n", "kind": "onyx", "token": "on_hush", **changes})
    assert "on_hush" not in str(caught.value)


@cases("token", ["on_x", " on_x\n", "Bearer on_x"])
async def test_the_token_is_sent_as_a_bearer(token: str) -> None:
    async with onyx(groups(), token=token) as (source, upstream):
        await source.poll(Known())
    assert upstream.asked[0].headers["Authorization"] == "Bearer on_x"


# ---- the list


@cases("secondary", [False, True])
async def test_a_poll_asks_for_the_list_once_and_names_no_source(secondary: bool) -> None:
    async with onyx(groups(), secondary_index=secondary) as (source, upstream):
        seen = await source.poll(Known())
    assert seen.complete
    assert [asked.body for asked in upstream.asked] == [{"get_all_connectors": True, "secondary_index": secondary}]
    assert upstream.asked[0].headers["Content-Type"] == "application/json"


async def test_an_unreadable_entry_is_reported_and_the_rest_kept() -> None:
    entries = [pair(3, docs_indexed=-1), pair(2), "odd", {"cc_pair_id": None}, pair(1, last_success="yesterday")]
    async with onyx(groups(*entries), {2: pages([])}) as (source, _):
        seen = await source.poll(Known())
    assert [fact.external_id for fact in seen.connectors] == ["2"]
    assert not seen.complete
    messages = [problem.message for problem in seen.problems]
    assert len(messages) == 4
    assert "cc-pair 3 in the list: docs_indexed" in messages[0]
    assert "cc-pair 1 in the list: last_success" in messages[3]
    assert {problem.code for problem in seen.problems} == {SystemErrorCode.MISMATCH}


async def test_a_group_without_entries_makes_the_list_incomplete() -> None:
    async with onyx(Reply([{"source": "web"}, 7])) as (source, _):
        seen = await source.poll(Known())
    assert not seen.complete
    assert len(seen.problems) == 2


async def test_a_list_that_is_none_is_a_mismatch() -> None:
    async with onyx(Reply({"items": []})) as (source, _):
        with pytest.raises(SourceMismatch, match="expected a list"):
            await source.poll(Known())


@cases("order", [(True, False), (False, True)])
async def test_of_two_rows_of_a_pair_the_editable_one_counts(order: tuple[bool, bool]) -> None:
    rows = [pair(9, is_editable=editable) for editable in order]
    async with onyx(groups(*rows), {9: pages([])}) as (source, _):
        seen = await source.poll(Known())
    assert [(fact.external_id, fact.is_editable) for fact in seen.connectors] == [("9", True)]


@cases(
    "reply",
    [
        Reply(text="<html>Onyx</html>"),
        Reply(text="<html>404</html>", status=404),
        Reply({"detail": "Not Found"}, 404),
        Reply({"detail": "Method Not Allowed"}, 405),
        Reply(text="", status=307, headers={"Location": "/auth/login"}),
    ],
)
async def test_a_url_without_api_gets_a_hint(reply: Reply) -> None:
    path = "/manage/admin/connector/indexing-status"
    async with canned({f"POST {path}": reply, f"POST /api{path}": reply}) as upstream:
        for base, hinted in (("", True), ("/api", False)):
            source = OnyxSource(configured(upstream.url + base))
            with pytest.raises(SourceMismatch) as caught:
                await source.poll(Known())
            await source.close()
            assert ("ends in /api" in str(caught.value)) is hinted


# ---- attempts during a poll

UNKNOWN_PAIR = Reply(
    {"error_code": "INSUFFICIENT_PERMISSIONS", "detail": "CC Pair not found for current user permissions"}, 403
)


def known_pair(number: int, *, latest: int | None, history_read: bool = True, open_jobs: Iterable[int] = ()) -> Known:
    row = KnownConnector(latest_job=str(latest) if latest else None, history_read=history_read)
    return Known(connectors={str(number): row}, open_jobs={str(job): str(number) for job in open_jobs})


async def test_only_pairs_that_changed_or_have_an_open_job_are_read() -> None:
    listed = {"entries": [pair(1), pair(2), pair(3)]}
    attempts = {1: pages([attempt(10, "in_progress")]), 2: pages([attempt(20)]), 3: pages([attempt(30)])}
    async with onyx(lambda _: groups(*listed["entries"]), attempts) as (source, upstream):
        known = remember(Known(), await source.poll(Known()))
        assert upstream.paths == [LIST, *(attempts_path(number) for number in (3, 2, 1))]
        upstream.asked.clear()
        listed["entries"][1] = pair(2, docs_indexed=11)
        seen = await source.poll(known)
    assert upstream.paths == [LIST, attempts_path(2), attempts_path(1)]
    assert {job.external_id for job in seen.jobs} == {"10", "20"}


async def test_a_federated_entry_has_no_attempts() -> None:
    async with onyx(groups({"id": 1, "source": "federated_slack", "name": "Federated Slack"})) as (source, upstream):
        seen = await source.poll(Known())
        known = remember(Known(), seen)
        assert await collect(source, known, frozenset(known.connectors)) == ([], frozenset({"federated:1"}))
    assert upstream.paths == [LIST]


@cases(
    ("known", "requests"),
    [
        (Known(), 1),  # never seen: the rest is history
        (known_pair(1, latest=None, history_read=False), 1),
        (known_pair(1, latest=None), 5),  # never had one, and now there are many
        (known_pair(1, latest=100), 1),
        (known_pair(1, latest=99), 2),  # a page without anything new is the end
        (known_pair(1, latest=81), 2),
        (known_pair(1, latest=80), 2),
        (known_pair(1, latest=100, open_jobs=[45]), 3),
    ],
)
async def test_reading_goes_as_far_as_what_is_known(known: Known, requests: int) -> None:
    everything = [attempt(number) for number in range(100, 15, -1)]
    async with onyx(groups(pair(1)), {1: pages(everything)}) as (source, upstream):
        seen = await source.poll(known)
    assert len(upstream.asked) - 1 == requests
    assert len(seen.jobs) == min(requests * POLL_PAGE, len(everything))
    assert not seen.gone_jobs


async def test_a_new_attempt_costs_one_request_where_their_number_is_known() -> None:
    everything = [attempt(number) for number in range(100, 15, -1)]
    listed, rows = [pair(1)], list(everything)
    async with onyx(lambda _: groups(*listed), {1: lambda asked: pages(rows)(asked)}) as (source, upstream):
        await source.poll(known_pair(1, latest=100))
        rows.insert(0, attempt(101))
        upstream.asked.clear()
        seen = await source.poll(known_pair(1, latest=100))
    assert upstream.paths == [LIST, attempts_path(1)]
    assert "101" in {job.external_id for job in seen.jobs}


def seeming(number: int, as_old_as: int, status: str = "success") -> dict[str, Any]:
    return attempt(number, status, time_started=attempt(as_old_as)["time_started"])


@cases("place", [3, 19, 20, 45, 84])
async def test_new_attempts_that_seem_old_are_found(place: int) -> None:
    """The clock was set back: what is new stands behind what was known (onyx.md §5)."""
    rows = [attempt(number) for number in range(100, 15, -1)]
    async with onyx(groups(pair(1)), {1: lambda asked: pages(rows)(asked)}) as (source, upstream):
        await source.poll(known_pair(1, latest=100))
        rows[place:place] = [seeming(102, 100 - place), seeming(101, 100 - place)]
        seen = await source.poll(known_pair(1, latest=100))
        assert {"101", "102"} <= {job.external_id for job in seen.jobs}
        upstream.asked.clear()
        await source.poll(known_pair(1, latest=102))
    assert upstream.paths == [LIST, attempts_path(1)]


async def test_attempts_removed_meanwhile_hide_no_new_ones_beside_them() -> None:
    rows = [attempt(number) for number in range(100, 15, -1)]
    async with onyx(groups(pair(1)), {1: lambda asked: pages(rows)(asked)}) as (source, _):
        await source.poll(known_pair(1, latest=100))
        rows[15:15] = [seeming(number, 85) for number in range(111, 100, -1)]
        del rows[-11:]
        seen = await source.poll(known_pair(1, latest=100))
    assert {str(number) for number in range(101, 112)} <= {job.external_id for job in seen.jobs}


async def test_an_open_job_that_seems_old_is_not_gone() -> None:
    rows = [attempt(number) for number in range(100, 15, -1)]
    rows.insert(70, seeming(101, 30, "in_progress"))
    async with onyx(groups(pair(1)), {1: pages(rows)}) as (source, upstream):
        seen = await source.poll(known_pair(1, latest=101, open_jobs=[101]))
        assert not seen.gone_jobs
        assert "101" in {job.external_id for job in seen.jobs}
        upstream.asked.clear()
        seen = await source.poll(known_pair(1, latest=102, open_jobs=[102]))
        assert seen.gone_jobs == {"102"}
    assert len(upstream.asked) <= 4


async def test_old_attempts_that_never_started_do_not_end_the_reading() -> None:
    never = [attempt(number, "canceled", time_started=None) for number in (5, 4)]
    everything = [*never, *(attempt(number) for number in range(60, 5, -1))]
    async with onyx(groups(pair(1)), {1: pages(everything)}) as (source, _):
        seen = await source.poll(known_pair(1, latest=30))
    assert {str(number) for number in range(31, 61)} <= {job.external_id for job in seen.jobs}


async def test_an_open_job_that_is_not_served_any_more_is_gone() -> None:
    async with onyx(groups(pair(1)), {1: pages([attempt(9), attempt(7), attempt(6)])}) as (source, _):
        seen = await source.poll(known_pair(1, latest=9, open_jobs=[8, 7]))
    assert seen.gone_jobs == {"8"}


async def test_while_the_list_of_attempts_moves_nothing_is_called_gone() -> None:
    everything = [attempt(number) for number in range(60, 10, -1) if number != 30]

    def shrinking(asked: Asked) -> Reply:
        body = pages(everything)(asked).body
        return Reply({**body, "total_items": 49 - int(asked.query["page_num"])})

    async with onyx(groups(pair(1)), {1: shrinking}) as (source, _):
        seen = await source.poll(known_pair(1, latest=60, open_jobs=[30]))
    assert not seen.gone_jobs


async def test_a_server_that_repeats_its_page_is_not_asked_for_ever() -> None:
    same = Reply({"items": [attempt(number) for number in range(60, 40, -1)], "total_items": 900})
    async with onyx(groups(pair(1)), {1: same}) as (source, upstream):
        seen = await source.poll(known_pair(1, latest=3))
        jobs, finished = await collect(source, Known(), frozenset({"1"}))
    assert len(seen.jobs) == len(jobs) == 20
    assert finished == {"1"}
    assert len(upstream.asked) < 6


@cases(
    "reply",
    [
        UNKNOWN_PAIR,
        Reply({"detail": "CC Pair not found for current user permissions"}, 400),
        Reply({"error_code": "NOT_FOUND", "detail": "gone"}, 404),
    ],
)
async def test_a_pair_deleted_meanwhile_is_no_problem(reply: Reply) -> None:
    async with onyx(groups(pair(2), pair(1)), {2: reply, 1: pages([attempt(1)])}) as (source, _):
        seen = await source.poll(Known())
        missing = await source.poll(known_pair(4, latest=40, open_jobs=[40]))
        listed_still = await source.poll(known_pair(2, latest=40, open_jobs=[40]))
        _, finished = await collect(source, Known(), frozenset({"2"}))
    assert seen.complete
    assert not seen.problems
    assert not seen.owed
    assert [job.external_id for job in seen.jobs] == ["1"]
    assert missing.gone_jobs == {"40"}
    assert not listed_still.gone_jobs
    assert finished == {"2"}


@cases(
    ("reply", "code"),
    [
        (Reply({"detail": "oops"}, 500), SystemErrorCode.UPSTREAM_ERROR),
        (Reply({"message": "bad page"}, 400), SystemErrorCode.MISMATCH),
        (Reply({"items": None}), SystemErrorCode.MISMATCH),
        (Reply([]), SystemErrorCode.MISMATCH),
        (Reply(text="<html>"), SystemErrorCode.MISMATCH),
        (Reply(text="<html>", status=404), SystemErrorCode.MISMATCH),  # a proxy's, which knows nothing of pairs
        (Reply({"items": [attempt(7), attempt(6, total_docs_indexed="many")]}), SystemErrorCode.MISMATCH),
    ],
)
async def test_attempts_that_cannot_be_read_are_owed(reply: Reply, code: SystemErrorCode) -> None:
    async with onyx(groups(pair(2), pair(1)), {2: reply, 1: pages([attempt(1)])}) as (source, upstream):
        seen = await source.poll(Known())
        assert seen.complete
        assert seen.owed == {"2"}
        assert [problem.code for problem in seen.problems] == [code]
        assert "cc-pair 2" in seen.problems[0].message
        assert "1" in {job.external_id for job in seen.jobs}
        upstream.asked.clear()
        await source.poll(remember(Known(), seen))
    assert upstream.paths == [LIST, attempts_path(2)]


async def test_a_later_page_that_fails_leaves_no_gap_behind() -> None:
    first = pages([attempt(number) for number in range(60, 10, -1)])

    def fails_later(asked: Asked) -> Reply:
        return Reply({"detail": "oops"}, 500) if asked.query["page_num"] == "1" else first(asked)

    async with onyx(groups(pair(1)), {1: fails_later}) as (source, _):
        seen = await source.poll(known_pair(1, latest=15))
    assert seen.owed == {"1"}
    assert not seen.jobs


async def test_a_rate_limit_among_attempts_leaves_the_rest_for_later() -> None:
    limited = Reply({"error_code": "RATE_LIMITED", "detail": "slow down"}, 429, {"Retry-After": "5"})
    numbers = range(1, 31)
    entries = [pair(number) for number in numbers]
    async with onyx(groups(*entries), dict.fromkeys(numbers, limited)) as (source, upstream):
        seen = await source.poll(Known())
    assert len(seen.connectors) == 30
    assert seen.owed == {str(number) for number in numbers}
    assert {problem.retry_after for problem in seen.problems} == {5.0}
    assert len(upstream.asked) <= 1 + 4


async def test_an_upstream_that_falls_silent_is_not_asked_for_every_pair() -> None:
    numbers = range(1, 31)
    answers: dict[int, Answer] = dict.fromkeys(numbers, Reply({"detail": "down"}, 503))
    answers[30] = pages([attempt(1)])
    async with onyx(groups(*(pair(number) for number in numbers)), answers) as (source, upstream):
        seen = await source.poll(Known())
    assert [job.external_id for job in seen.jobs] == ["1"]
    assert seen.owed == {str(number) for number in range(1, 30)}
    assert len(upstream.asked) <= 10


async def test_credentials_refused_among_attempts_end_the_poll() -> None:
    refused = Reply({"detail": "Access denied. User is not authenticated."}, 403)
    async with onyx(groups(pair(2), pair(1)), {2: refused, 1: pages([])}) as (source, _):
        with pytest.raises(SourceAuthFailed, match="not authenticated"):
            await source.poll(Known())


# ---- history


async def test_history_reads_all_pages_of_all_pairs() -> None:
    sizes = {1: 0, 2: 3, 3: HISTORY_PAGE, 4: 2 * HISTORY_PAGE + 1, 5: 7, 6: 9}
    answers = {
        number: pages([attempt(number * 1000 + i) for i in range(size, 0, -1)]) for number, size in sizes.items()
    }
    async with onyx(groups(), answers) as (source, _):
        jobs, finished = await collect(source, Known(), frozenset(map(str, sizes)))
    assert finished == frozenset(map(str, sizes))
    assert len({job.external_id for job in jobs}) == len(jobs) == sum(sizes.values())


@cases("reply", [Reply({"items": 3}), Reply(text="<html>", status=404)])
async def test_history_leaves_out_a_pair_that_it_cannot_read(reply: Reply) -> None:
    async with onyx(groups(), {1: pages([attempt(1)]), 2: reply}) as (source, _):
        jobs, finished = await collect(source, Known(), frozenset({"1", "2"}))
    assert [job.external_id for job in jobs] == ["1"]
    assert finished == {"1"}


@cases(
    ("reply", "error"),
    [
        (Reply({"detail": "down"}, 503), SourceUnreachable),
        (Reply({"detail": "slow"}, 429), SourceRateLimited),
        (Reply({"detail": "Access denied. User is not authenticated."}, 403), SourceAuthFailed),
    ],
)
async def test_history_hands_over_what_it_has_and_then_fails(reply: Reply, error: type[Exception]) -> None:
    batches: list[HistoryBatch] = []

    async def read(source: OnyxSource) -> None:
        async for batch in source.history(Known(), frozenset({"1", "2"})):
            batches.append(batch)

    async with onyx(groups(), {1: pages([attempt(1)]), 2: reply}) as (source, _):
        with pytest.raises(error):
            await read(source)
    assert [batch.finished for batch in batches] == [{"1"}]
