import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from pydantic import ValidationError

from connectory.model import JobFact, JobStatus, Known, KnownConnector, Observation, SystemErrorCode
from sources.base import Source, SourceAuthFailed, SourceError, SourceMismatch, SourceRateLimited, SourceUnreachable
from sources.zensearch import SOURCE, mapping
from sources.zensearch.client import Budget, ZenSearchClient, seconds_to_reset, signature
from sources.zensearch.simulator.checks import PUBLISHABLE_KEY, SECRET_KEY, SESSION, TOKEN
from sources.zensearch.simulator.views import MANNERS
from sources.zensearch.simulator.world import ZenSearchWorld
from sources.zensearch.source import UNDECIDED, ZenSearchSource
from tests.sources.canned import Asked, Reply, canned
from tests.sources.cases import cases
from tests.sources.contract import FAILURES, START, SourceContract, Upstream, check_job, collect, remember
from tests.sources.zensearch_stage import (
    LIST,
    Answer,
    configured,
    connector,
    job,
    job_path,
    known,
    listed,
    told,
    zensearch,
)

NINE = datetime(2026, 8, 22, 9, 0, tzinfo=UTC)
HALF_PAST = datetime(2026, 8, 22, 9, 30, tzinfo=UTC)


async def trigger(upstream: Upstream, connector: str) -> str | None:
    """The id of a sync started by hand; None when one runs already."""
    url = f"{upstream.running.url}{LIST}/{connector}/sync"
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session,
        session.post(url) as response,
    ):
        body = await response.json()
    return str(body["data"]["jobId"]) if response.status == 202 else None


class TestZenSearch(SourceContract):
    kind = SOURCE
    looks_compared = 4

    def jobs_held(self, world: ZenSearchWorld) -> set[str]:
        """None: the upstream lists no job."""
        return set()

    async def knowing_open_jobs(self, source: Source, upstream: Upstream) -> Known:
        """Nothing lists jobs, so the open ones are those that were started by hand."""
        known = remember(Known(), await source.poll(Known()))
        for number in upstream.world.connectors:
            if (started := await trigger(upstream, number)) is not None:
                known.open_jobs[started] = number
        assert known.open_jobs
        return known

    async def test_history_raises_only_source_errors(self, source: Source, upstream: Upstream) -> None:
        """Here it asks nothing and finds nothing, so there is nothing to fail."""
        known = remember(Known(), await source.poll(Known()))
        asked = len(upstream.requests)
        for switches, *_ in FAILURES:
            upstream.fail(**switches)
            assert await collect(source, known, frozenset(known.connectors)) == ([], frozenset(known.connectors))
        assert len(upstream.requests) == asked

    @pytest.mark.parametrize("restarts", [False, True])
    async def test_no_job_is_missed_and_no_word_is_unknown(
        self, connect: Callable[..., Source], upstream: Upstream, restarts: bool
    ) -> None:
        """Jobs started by hand are followed to their ends; of the others each that moved lastSync is inferred, once.
        An adapter that starts anew each time cannot tell one that ends right beside a told one; it invents none."""
        source, known, world = connect(), Known(), upstream.world
        by_hand, seen, statuses = set[str](), dict[str, JobFact](), set[JobStatus]()
        expected = {f"{c.id}@{_shown(c.last_sync)}" for c in world.connectors.values() if c.last_sync}
        for _ in range(120):
            observation = await source.poll(known)
            assert not observation.problems
            assert not observation.gone_jobs
            seen |= {job.external_id: job for job in observation.jobs}
            statuses |= {job.status for job in observation.jobs if job.external_id in by_hand}
            for done in world.jobs.values():
                if done.status == "completed" and done.id not in by_hand and done.completed > START:
                    expected.add(f"{done.connector}@{_shown(done.completed)}")
            known = remember(known, observation)
            for number in list(world.connectors)[::4]:
                if (started := await trigger(upstream, number)) is not None:
                    by_hand.add(started)
                    known.open_jobs[started] = number
            upstream.hand.move(2.0)
            source = connect() if restarts else source
        assert statuses == {*mapping.JOB_STATUS.values()}
        assert {job for job in seen if "@" not in job} <= by_hand
        inferred = {job for job in seen if "@" in job}
        assert inferred <= expected
        assert len(expected - inferred) <= (3 if restarts else 0)
        assert len(expected) > 60

    async def test_a_connector_that_vanishes_takes_its_open_jobs_along(
        self, source: Source, upstream: Upstream
    ) -> None:
        memory = remember(Known(), await source.poll(Known()))
        number = next(c.id for c in upstream.world.connectors.values() if c.open_job is None and c.status == "active")
        started = await trigger(upstream, number)
        assert started is not None
        memory.open_jobs[started] = number
        assert [job.external_id for job in (await source.look(memory, frozenset({started}))).jobs] == [started]
        upstream.world.delete(upstream.world.connectors[number])
        looked, polled = await source.look(memory, frozenset({started})), await source.poll(memory)
        assert looked.gone_jobs == polled.gone_jobs == {started}
        assert polled.complete
        assert not polled.problems

    @cases(
        ("dialect", "token", "signs"),
        [
            ("v1-bearer", TOKEN, False),
            ("api-v1-bearer", TOKEN, False),
            ("api-v1-bearer", SESSION, False),
            ("api-v1-key", SECRET_KEY, False),
            ("api-v1-key", PUBLISHABLE_KEY, False),
            ("api-v1-key", SECRET_KEY, True),
        ],
    )
    async def test_every_dialect_tells_the_same(
        self, connect: Callable[..., Source], upstream: Upstream, dialect: str, token: str, signs: bool
    ) -> None:
        expected = await connect().poll(Known())
        upstream.running.app[MANNERS].wants_signature = signs
        seen = await connect(dialect=dialect, token=token, sign_requests=signs).poll(Known())
        assert seen == expected

    @cases(
        ("dialect", "token"),
        [("v1-bearer", SESSION), ("v1-bearer", SECRET_KEY), ("api-v1-bearer", SECRET_KEY), ("api-v1-key", TOKEN)],
    )
    async def test_a_token_of_another_dialect_is_refused(
        self, connect: Callable[..., Source], dialect: str, token: str
    ) -> None:
        with pytest.raises(SourceAuthFailed, match="Invalid API key"):
            await connect(dialect=dialect, token=token).poll(Known())

    async def test_the_limit_of_the_simulator_is_kept(self, source: ZenSearchSource, upstream: Upstream) -> None:
        upstream.running.app[MANNERS].limit = 2
        assert not (await source.poll(Known())).problems
        (problem,) = (await source.poll(Known())).problems
        assert (problem.code, round(problem.retry_after or 0)) == (SystemErrorCode.RATE_LIMITED, 60)
        with pytest.raises(SourceRateLimited):
            await source.poll(Known())
        assert len(upstream.requests) == 2
        impatient = ZenSearchSource(self.configure(upstream.running.url))  # type: ignore[arg-type]
        upstream.hand.move(45)
        with pytest.raises(SourceRateLimited) as caught:
            await impatient.poll(Known())
        assert caught.value.retry_after == 15
        upstream.hand.move(15)
        await impatient.close()
        again = ZenSearchSource(self.configure(upstream.running.url))  # type: ignore[arg-type]
        assert (await again.poll(Known())).complete
        await again.close()


def _shown(moment: datetime) -> str:
    return mapping.zulu(moment.replace(microsecond=0))


# ---- settings


@cases("token", ["", "  ", "Bearer ", "zen_ü", "zen_a\nb"])
def test_a_token_must_fit_into_a_header(token: str) -> None:
    with pytest.raises(ValidationError) as caught:
        configured("http://127.0.0.1", token=token)
    assert "zen_" not in str(caught.value)


@cases(
    "changes",
    [
        {"url": "http://127.0.0.1/v1"},
        {"url": "http://127.0.0.1/api/v1/"},
        {"dialect": "v2"},
        {"sign_requests": True},
        {"sign_requests": True, "dialect": "api-v1-bearer"},
        {"sign_requests": True, "dialect": "api-v1-key", "token": "zsk_pk_hush"},
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        configured(**{"url": "http://127.0.0.1", "token": "zsk_sk_hush", **changes})
    assert "hush" not in str(caught.value)


@cases(
    ("dialect", "path", "header", "value"),
    [
        ("v1-bearer", "/base/v1/connectors", "Authorization", "Bearer zen_x"),
        ("api-v1-bearer", "/base/api/v1/connectors", "Authorization", "Bearer zen_x"),
        ("api-v1-key", "/base/api/v1/connectors", "X-ZenSearch-Key", "zen_x"),
    ],
)
@cases("token", ["zen_x", " zen_x\n", "Bearer zen_x"])
async def test_a_dialect_is_a_path_and_a_header(dialect: str, path: str, header: str, value: str, token: str) -> None:
    async with canned({f"GET {path}": listed()}) as upstream:
        source = ZenSearchSource(configured(f"{upstream.url}/base/", dialect=dialect, token=token))
        assert (await source.poll(Known())).complete
        await source.close()
    (asked,) = upstream.asked
    assert (asked.path, asked.query, asked.headers[header]) == (path, {}, value)
    assert "X-ZenSearch-Signature" not in asked.headers
    assert {"Authorization", "X-ZenSearch-Key"} & asked.headers.keys() == {header}


# ---- signatures


def test_a_signature_is_made_of_the_time_and_the_raw_body() -> None:
    assert signature("zsk_sk_x", b'{"a": 1}', 1787391045000) == {
        "X-ZenSearch-Timestamp": "1787391045000",
        # echo -n '1787391045000.{"a": 1}' | openssl dgst -sha256 -hmac zsk_sk_x
        "X-ZenSearch-Signature": "1d55f9bd92fda72aecbb688604fe80135855b4b6c3990bf777309e8695882fed",
    }


async def test_a_body_is_signed_as_it_is_sent() -> None:
    settings = configured("http://127.0.0.1", dialect="api-v1-key", token="zsk_sk_x", sign_requests=True)
    async with (
        canned({"POST /api/v1/x": told({}), "GET /api/v1/x": told({})}) as upstream,
        ZenSearchClient(settings.model_copy(update={"url": upstream.url})) as client,
    ):
        await client.post("/api/v1/x", {"sync_mode": "full", "file_filter": ["ä.pdf"]})
        await client.get("/api/v1/x")
    raw = (b'{"sync_mode": "full", "file_filter": ["\\u00e4.pdf"]}', b"")
    for asked, body in zip(upstream.asked, raw, strict=True):
        stamp = int(asked.headers["X-ZenSearch-Timestamp"])
        assert abs(stamp / 1000 - datetime.now(UTC).timestamp()) < 60
        assert signature("zsk_sk_x", body, stamp).items() <= asked.headers.items()


# ---- the list


async def test_an_unreadable_entry_is_reported_and_the_rest_kept() -> None:
    entries = [connector(1), "odd", {"name": "nameless"}, connector(2), connector(3, id=" ")]
    async with zensearch(listed(*entries)) as (source, _):
        seen = await source.poll(Known())
    assert [fact.external_id for fact in seen.connectors] == ["conn_1", "conn_2"]
    assert not seen.complete
    assert [problem.message for problem in seen.problems] == [
        "connector 2 of the list: expected an object, got str",
        "connector 3 of the list: id: missing",
        "connector 5 of the list: id: missing",
    ]
    assert {problem.code for problem in seen.problems} == {SystemErrorCode.MISMATCH}


async def test_a_wrong_value_costs_its_field_only() -> None:
    entry = connector(1, lastSync="yesterday", status=None, name=7)
    async with zensearch(listed(entry)) as (source, _):
        seen = await source.poll(Known())
    (fact,) = seen.connectors
    assert seen.complete
    assert not seen.jobs
    assert (fact.name, fact.last_sync_at, fact.created_at) == (
        "s3 conn_1",
        None,
        datetime(2026, 2, 1, 12, 30, tzinfo=UTC),
    )
    assert [problem.message.split(":")[:2] for problem in seen.problems] == [
        ["connector conn_1", " status"],
        ["connector conn_1", " name"],
        ["connector conn_1", " lastSync"],
    ]


async def test_an_entry_listed_twice_counts_once() -> None:
    async with zensearch(listed(connector(1), connector(2), connector(1, name="again"))) as (source, _):
        seen = await source.poll(Known())
    assert [fact.name for fact in seen.connectors] == ["connector 1", "connector 2"]
    assert len(seen.jobs) == 2


@cases("reply", [Reply([connector(1)]), Reply({"data": [connector(1)], "meta": {"requestId": "r"}, "more": 1})])
async def test_envelopes_are_read_leniently(reply: Reply) -> None:
    async with zensearch(reply) as (source, _):
        assert [fact.external_id for fact in (await source.poll(Known())).connectors] == ["conn_1"]


@cases("body", [{"data": {}}, {"data": None}, {}, None, "text", 7])
async def test_a_list_that_is_none_is_a_mismatch(body: object) -> None:
    async with zensearch(Reply(body)) as (source, _):
        with pytest.raises(SourceMismatch, match="expected a list"):
            await source.poll(Known())


@cases("reply", [Reply({}, 404), Reply({"error": {}}, 405), Reply(text="404 page not found", status=404)])
async def test_a_path_that_is_not_there_gets_a_hint(reply: Reply) -> None:
    async with zensearch(reply) as (source, _):
        with pytest.raises(SourceMismatch, match="dialect api-v1-bearer or api-v1-key"):
            await source.poll(Known())


async def test_a_list_of_a_round_length_is_warned_about_once(caplog: pytest.LogCaptureFixture) -> None:
    numbers = {"last": 10}
    async with zensearch(lambda _: listed(*map(connector, range(numbers["last"])))) as (source, _):
        with caplog.at_level(logging.WARNING):
            for last in (10, 10, 11, 10):
                numbers["last"] = last
                assert (await source.poll(Known())).complete
    assert [record.args for record in caplog.records] == [(10,), (10,)]


# ---- jobs that are known


async def test_only_the_list_and_open_jobs_are_asked_for() -> None:
    jobs = {(1, 7): told(job(7)), (2, 8): told(job(8, "queued", progress=None))}
    entries = [connector(1), connector(2), connector(3)]
    async with zensearch(listed(*entries), jobs) as (source, upstream):
        memory = remember(Known(), await source.poll(Known()))
        memory.open_jobs.update({"job_7": "conn_1", "job_8": "conn_2"})
        upstream.asked.clear()
        seen = await source.poll(memory)
        assert sorted(upstream.paths) == sorted([LIST, job_path(1, 7), job_path(2, 8)])
        upstream.asked.clear()
        looked = await source.look(memory, frozenset({"job_7"}))
    assert upstream.paths == [job_path(1, 7)]
    assert [(found.external_id, found.status.name) for found in seen.jobs] == [
        ("job_7", "RUNNING"),
        ("job_8", "PENDING"),
    ]
    assert looked == Observation(connectors=[], jobs=seen.jobs[:1], complete=False)


async def test_ids_are_escaped_in_paths() -> None:
    async with canned({"GET /v1/connectors/a b/sync/x": told(job(1, jobId="x"))}) as upstream:
        source = ZenSearchSource(configured(upstream.url))
        for number, path in (("a b", "/v1/connectors/a b/sync/x"), ("a/../b?c#d", "/v1/connectors/a/../b?c#d/sync/x")):
            await source.look(Known(open_jobs={"x": number}), frozenset({"x"}))
            assert upstream.asked[-1].path == path
            assert not upstream.asked[-1].query
        await source.close()


GONE = Reply({"error": {"code": "not_found", "message": "Sync job not found"}}, 404)


async def test_a_job_that_is_not_served_any_more_is_gone() -> None:
    async with zensearch(listed(connector(1)), {(1, 7): GONE, (1, 8): told(job(8))}) as (source, _):
        memory = known(open_jobs={7: 1, 8: 1}, latest={1: "job_8"})
        for seen in (await source.poll(memory), await source.look(memory, frozenset({"job_7", "job_8"}))):
            assert seen.gone_jobs == {"job_7"}
            assert [found.external_id for found in seen.jobs if "@" not in found.external_id] == ["job_8"]
            assert not seen.problems


async def test_an_open_job_without_a_connector_is_gone() -> None:
    async with zensearch(listed()) as (source, upstream):
        memory = Known(open_jobs={"job_7": None, "job_8": None})
        assert (await source.poll(memory)).gone_jobs == {"job_7", "job_8"}
        assert (await source.look(memory, frozenset({"job_7"}))).gone_jobs == {"job_7"}
    assert upstream.paths == [LIST]


@cases(
    ("reply", "code", "error"),
    [
        (Reply({"error": {"message": "oops"}}, 500), SystemErrorCode.UPSTREAM_ERROR, SourceUnreachable),
        (Reply({"error": {"code": "forbidden"}}, 403), SystemErrorCode.AUTH_FAILED, SourceAuthFailed),
        (Reply({"error": {"code": "invalid_request"}}, 400), SystemErrorCode.MISMATCH, SourceMismatch),
        (Reply(text="404 page not found", status=404), SystemErrorCode.MISMATCH, SourceMismatch),
        (Reply(text="<html>"), SystemErrorCode.MISMATCH, SourceMismatch),
        (told(job(9)), SystemErrorCode.MISMATCH, SourceMismatch),
        (told([]), SystemErrorCode.MISMATCH, SourceMismatch),
        (Reply({"error": {}}, 429, {"Retry-After": "5"}), SystemErrorCode.RATE_LIMITED, SourceRateLimited),
    ],
)
async def test_a_job_that_cannot_be_read_is_a_problem(
    reply: Reply, code: SystemErrorCode, error: type[SourceError]
) -> None:
    memory = known(open_jobs={7: 1}, latest={1: "job_7", 2: "conn_2@2026-08-22T09:00:00Z"})
    async with zensearch(listed(connector(1), connector(2)), {(1, 7): reply}) as (source, _):
        seen = await source.poll(memory)
        with pytest.raises(error):
            await source.look(memory, frozenset({"job_7"}))
    assert seen.complete
    assert not seen.gone_jobs
    assert [found.external_id for found in seen.jobs] == ["conn_2@2026-08-22T09:00:00Z"]
    (problem,) = seen.problems
    assert problem.code is code
    assert problem.message.startswith("sync job job_7: ")
    assert problem.retry_after == (5.0 if code is SystemErrorCode.RATE_LIMITED else None)
    assert seen.owed == {"conn_1"}  # whether that job moved lastSync is not known yet


async def test_a_look_tells_what_it_could_read() -> None:
    broken = Reply({"error": {}}, 500)
    async with zensearch(listed(), {(1, 7): broken, (1, 8): told(job(8))}) as (source, _):
        seen = await source.look(known(open_jobs={7: 1, 8: 1}), frozenset({"job_7", "job_8"}))
    assert [found.external_id for found in seen.jobs] == ["job_8"]
    assert len(seen.problems) == 1


async def test_credentials_refused_among_jobs_end_the_poll() -> None:
    refused = Reply({"error": {"code": "unauthorized", "message": "Invalid API key"}}, 401)
    async with zensearch(listed(connector(1)), {(1, 7): refused}) as (source, _):
        with pytest.raises(SourceAuthFailed, match="Invalid API key"):
            await source.poll(known(open_jobs={7: 1}))


@cases("reply", [Reply({"error": {}}, 429), Reply({"error": {}}, 503)])
async def test_an_upstream_in_trouble_is_not_asked_for_every_job(reply: Reply) -> None:
    numbers = range(30)
    answers: dict[tuple[int, int], Answer] = {(number, number): reply for number in numbers}
    entries = [connector(number) for number in numbers]
    async with zensearch(listed(*entries), answers) as (source, upstream):
        seen = await source.poll(known(open_jobs={number: number for number in numbers}))
    assert len(upstream.asked) <= 1 + 3 + 4
    assert seen.owed == {entry["id"] for entry in entries}
    assert not seen.gone_jobs


async def test_a_job_with_an_unknown_word_is_read_while_something_happens_to_it() -> None:
    sent: dict[str, Any] = {"status": "finalizing", "indexed": 1}

    def answer(_: Asked) -> Reply:
        return told(job(7, sent["status"], progress={"indexed": sent["indexed"]}))

    async with zensearch(listed(connector(1, lastSync=None)), {(1, 7): answer}) as (source, upstream):
        await source.poll(known(open_jobs={7: 1}))
        nothing_open = known()
        for number in range(UNDECIDED):
            sent["indexed"] = number
            (found,) = (await source.poll(nothing_open)).jobs
            assert (found.status, found.upstream_status) == (JobStatus.UNKNOWN, "finalizing")
        for _ in range(UNDECIDED):
            assert (await source.poll(nothing_open)).jobs
        upstream.asked.clear()
        assert not (await source.poll(nothing_open)).jobs
        assert upstream.paths == [LIST]
        sent["status"] = "mending"
        await source.poll(known(open_jobs={7: 1}))
        sent["status"] = "completed"
        assert [found.status for found in (await source.poll(nothing_open)).jobs] == [JobStatus.SUCCEEDED]
        assert not (await source.poll(nothing_open)).jobs


async def test_a_job_without_any_time_keeps_its_place() -> None:
    moments = iter(HALF_PAST + timedelta(seconds=second) for second in range(100))
    async with canned({f"GET {job_path(1, 7)}": told(job(7, startedAt=None))}) as upstream:
        source = ZenSearchSource(configured(upstream.url), now=lambda: next(moments))
        memory = known(open_jobs={7: 1})
        first, second = [(await source.look(memory, frozenset({"job_7"}))).jobs[0] for _ in range(2)]
        await source.close()
    assert first.order_at == HALF_PAST
    assert first == second


# ---- jobs that are inferred


async def infer(moment: str, sent: dict[str, Any] | None = None) -> list[str]:
    """Inferred jobs of a connector whose newest job is 7 as ``sent`` (not told of if None), and whose lastSync is
    ``moment``."""
    answer = GONE if sent is None else told(sent)
    async with zensearch(listed(connector(1, lastSync=moment)), {(1, 7): answer}) as (source, _):
        seen = await source.poll(known(latest={1: "job_7"}))
    return [found.external_id for found in seen.jobs if found.external_id != "job_7"]


ENDED = {"status": "completed", "startedAt": "2026-08-22T09:30:00Z", "completedAt": "2026-08-22T09:31:00Z"}


@cases(
    ("moment", "changes", "is_inferred"),
    [
        ("2026-08-22T09:31:00Z", ENDED, False),  # its end
        ("2026-08-22T09:30:00Z", ENDED, False),  # its start
        ("2026-08-22T09:31:05Z", ENDED, False),
        ("2026-08-22T09:31:06Z", ENDED, True),  # another one after it
        ("2026-08-22T09:29:00Z", ENDED, False),  # dealt with before job 7 began; something else changed
        ("2026-08-22T09:31:00Z", {"status": "completed"}, False),  # without an end any later moment may be its own
        ("2026-08-22T09:31:00Z", {"status": "running"}, False),
        ("2026-08-22T09:31:00Z", {"status": "queued"}, True),  # it has not begun to work
        ("2026-08-22T09:30:00Z", {"status": "queued"}, False),
        ("2026-08-22T09:31:00Z", {"status": "queued", "startedAt": None}, True),
        ("2026-08-22T09:31:00Z", {"status": "done", "startedAt": None}, False),
    ],
)
async def test_a_told_job_explains_its_own_sync_only(moment: str, changes: dict[str, Any], is_inferred: bool) -> None:
    assert await infer(moment, job(7, **changes)) == ([f"conn_1@{moment}"] if is_inferred else [])


async def test_a_told_job_that_cannot_be_had_explains_nothing() -> None:
    assert await infer("2026-08-22T09:31:00Z") == ["conn_1@2026-08-22T09:31:00Z"]


async def test_a_job_without_an_end_explains_one_sync_only() -> None:
    sent = {"lastSync": "2026-08-22T09:31:00Z"}
    found: list[list[str]] = []
    async with zensearch(lambda _: listed(connector(1, **sent)), {(1, 7): told(job(7, "completed"))}) as (source, _):
        for moment in ("09:31:00", "09:31:00", "09:45:00"):
            sent["lastSync"] = f"2026-08-22T{moment}Z"
            seen = await source.poll(known(latest={1: "job_7"}))
            found.append([fact.external_id for fact in seen.jobs if "@" in fact.external_id])
    assert found == [[], [], ["conn_1@2026-08-22T09:45:00Z"]]


async def test_what_moved_before_a_told_job_began_is_inferred_when_it_was_seen_to_move() -> None:
    sent = {"lastSync": "2026-08-22T09:00:00Z"}
    async with zensearch(lambda _: listed(connector(1, **sent)), {(1, 7): told(job(7))}) as (source, _):
        memory = remember(Known(), await source.poll(Known()))
        sent["lastSync"] = "2026-08-22T09:29:00Z"
        memory.open_jobs["job_7"] = "conn_1"
        seen = await source.poll(memory)
    assert {fact.external_id for fact in seen.jobs} == {"job_7", "conn_1@2026-08-22T09:29:00Z"}


async def test_an_inferred_job_claims_nothing() -> None:
    async with zensearch(listed(connector(1, lastSync="2026-08-22T11:00:00+02:00"), connector(2, lastSync=None))) as (
        source,
        _,
    ):
        seen = await source.poll(Known())
        (found,) = seen.jobs
        check_job(found)
        memory = remember(Known(), seen)
        assert not (await source.poll(memory)).jobs
        renamed = replace(memory.connectors["conn_1"], fingerprint=None)
        memory.connectors["conn_1"] = renamed
        assert [again.fingerprint for again in (await source.poll(memory)).jobs] == [found.fingerprint]
    assert found == JobFact(
        external_id="conn_1@2026-08-22T09:00:00Z",
        connector="conn_1",
        status=JobStatus.UNKNOWN,
        order_at=NINE,
        details=found.details,
    )
    assert found.details is not None
    assert '"inferred_from":"2026-08-22T09:00:00+00:00"' in found.details.json


async def test_an_inferred_job_is_never_asked_for() -> None:
    async with zensearch(listed(connector(1))) as (source, upstream):
        memory = Known(
            connectors={"conn_1": KnownConnector(latest_job="conn_1@2026-08-22T08:00:00Z")},
            open_jobs={"conn_1@2026-08-22T08:00:00Z": "conn_1"},
        )
        seen = await source.poll(memory)
        looked = await source.look(memory, frozenset(memory.open_jobs))
    assert upstream.paths == [LIST]
    assert [found.external_id for found in seen.jobs] == ["conn_1@2026-08-22T09:00:00Z"]
    assert not seen.gone_jobs
    assert looked == Observation(connectors=[], complete=False)


# ---- limits

DATE = "Sat, 22 Aug 2026 09:30:00 GMT"
NOON_ISH = 1787391000  # the same moment


@cases(
    ("headers", "seconds"),
    [
        ({"X-RateLimit-Reset": str(NOON_ISH + 45), "Date": DATE}, 45),
        ({"X-RateLimit-Reset": str(NOON_ISH - 1), "Date": DATE}, None),
        ({"X-RateLimit-Reset": str(NOON_ISH), "Date": DATE}, None),
        ({"X-RateLimit-Reset": str((NOON_ISH + 45) * 1000), "Date": DATE}, None),
        ({"X-RateLimit-Reset": "soon", "Date": DATE}, None),
        ({"Date": DATE}, None),
    ],
)
def test_a_reset_is_read_by_the_clock_of_its_server(headers: dict[str, str], seconds: float | None) -> None:
    assert seconds_to_reset(headers) == seconds


@cases("date", [{}, {"Date": "yesterday"}])
def test_without_a_date_our_own_clock_counts(date: dict[str, str]) -> None:
    reset = int(datetime.now(UTC).timestamp()) + 100
    assert 90 < (seconds_to_reset({"X-RateLimit-Reset": str(reset), **date}) or 0) <= 100


def window(remaining: object, seconds: int = 45) -> dict[str, str]:
    return {"X-RateLimit-Remaining": str(remaining), "X-RateLimit-Reset": str(NOON_ISH + seconds), "Date": DATE}


async def test_nothing_is_sent_while_no_request_is_left() -> None:
    clock = {"at": 100.0}
    budget = Budget(lambda: clock["at"])
    replies = {"headers": window(0)}
    async with canned({f"GET {LIST}": lambda _: Reply({"data": [connector(1)]}, 200, replies["headers"])}) as upstream:
        settings = configured(upstream.url)
        source = ZenSearchSource(settings, http=ZenSearchClient(settings, budget=budget))
        seen = await source.poll(known(open_jobs={7: 1}))
        assert seen.complete
        assert [(problem.code, problem.retry_after) for problem in seen.problems] == [
            (SystemErrorCode.RATE_LIMITED, 45)
        ]
        assert not seen.gone_jobs
        clock["at"] += 44
        for ask in (source.poll(Known()), source.look(known(open_jobs={7: 1}), frozenset({"job_7"}))):
            with pytest.raises(SourceRateLimited) as caught:
                await ask
            assert (caught.value.retry_after, caught.value.status) == (1, None)
        assert len(upstream.asked) == 1
        clock["at"] += 1
        replies["headers"] = window(1)
        assert not (await source.poll(Known())).problems
        await source.close()


@cases("headers", [window(1), window("few"), window(0, -5), {"X-RateLimit-Remaining": "0"}, {}])
async def test_headers_that_do_not_ask_for_a_wait(headers: dict[str, str]) -> None:
    async with zensearch(Reply({"data": []}, 200, headers)) as (source, upstream):
        for _ in range(2):
            assert not (await source.poll(Known())).problems
    assert len(upstream.asked) == 2


@cases(
    ("headers", "error", "seconds"),
    [
        ({"Retry-After": "45", **window(0, 50)}, {"retryAfter": 40}, 45),
        ({}, {"retryAfter": 40}, 40),
        ({}, {"retryAfter": 0.5}, 0.5),
        (window(3, 50), {}, 50),
        ({}, {"retryAfter": "soon"}, None),
        ({}, {"retryAfter": -1}, None),
        ({}, {"retryAfter": True}, None),
        ({}, None, None),
    ],
)
async def test_how_long_a_429_asks_to_wait(headers: dict[str, str], error: object, seconds: float | None) -> None:
    async with zensearch(Reply({"error": error}, 429, headers)) as (source, _):
        with pytest.raises(SourceRateLimited) as caught:
            await source.poll(Known())
    assert caught.value.retry_after == seconds
