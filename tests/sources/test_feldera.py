import asyncio
from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError

from connectory.model import ConnectorStatus, JobFact, Known, SystemErrorCode
from sources.base import Source, SourceAuthFailed, SourceMismatch, SourceUnreachable
from sources.feldera import SOURCE
from sources.feldera.settings import FelderaSettings
from sources.feldera.simulator.checks import TOKEN
from sources.feldera.simulator.world import FelderaWorld
from sources.feldera.source import PATIENCE, FelderaSource
from sources.reading import by_turns
from sources.rounds import CONCURRENCY
from sources.simulation import serve
from tests.sources.canned import Asked, Reply, canned
from tests.sources.cases import cases
from tests.sources.contract import SourceContract, Upstream, collect, remember
from tests.sources.feldera_stage import (
    INCARNATION,
    LIST,
    an_input,
    an_output,
    configured,
    configured_kafka,
    counters,
    error_reply,
    feldera,
    metrics,
    pipeline,
    program,
    read,
    shown,
    simulated,
)


class TestFeldera(SourceContract):
    kind = SOURCE

    def jobs_held(self, world: FelderaWorld) -> set[str]:
        return set()  # runs of earlier incarnations leave nothing behind, and the present ones come with each poll

    async def _serve_now(self, source: Source, known: Known, upstream: Upstream) -> dict[str, JobFact]:
        upstream.hand.move(-60.0)  # back to the moment of the last poll, which the world has not left yet
        return {job.external_id: job for job in (await source.poll(Known())).jobs}

    async def test_history_raises_only_source_errors(self, source: Source, upstream: Upstream) -> None:
        known = remember(Known(), await source.poll(Known()))
        asked = len(upstream.requests)
        upstream.fail(html_status=502)
        jobs, finished = await collect(source, known, frozenset(known.connectors))
        assert (jobs, finished) == ([], frozenset(known.connectors))
        assert len(upstream.requests) == asked


# ---- settings


@cases("token", ["", "  ", "Bearer ", "apikey:ü", "apikey:a\nb"])
def test_a_token_must_fit_into_a_header(token: str) -> None:
    with pytest.raises(ValidationError) as caught:
        configured("http://127.0.0.1", token=token)
    assert "apikey" not in str(caught.value)


@cases("changes", [{"url": "nowhere"}, {"tokn": "x"}, {"pipelines": []}, {"pipelines": "orders"}])
def test_no_complaint_about_settings_shows_the_token(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        FelderaSettings.model_validate({"name": "n", "kind": "feldera", "token": "apikey:hush", **changes})
    assert "apikey:hush" not in str(caught.value)


@cases(("token", "header"), [("apikey:x", "Bearer apikey:x"), (" Bearer apikey:x\n", "Bearer apikey:x"), (None, None)])
async def test_the_token_is_sent_as_a_bearer(token: str | None, header: str | None) -> None:
    async with feldera(token=token) as (source, upstream):
        await source.poll(Known())
        assert upstream.served.asked[0].headers.get("Authorization") == header


@cases("suffix", ["", "/", "/v0", "/v0/"])
async def test_the_url_may_end_in_v0(suffix: str) -> None:
    async with feldera(pipeline("orders", "Stopped")) as (_, upstream):
        source = FelderaSource(configured(upstream.served.url + suffix))
        await source.poll(Known())
        await source.close()
        assert upstream.served.paths[0] == LIST


async def test_a_feldera_of_ones_own_needs_no_token() -> None:
    async with simulated(authenticated=False) as api:
        source = FelderaSource(configured(api.url))
        seen = await source.poll(Known())
        await source.close()
    assert seen.complete
    assert seen.connectors


# ---- the list


async def test_a_poll_asks_once_for_the_list_and_once_for_each_pipeline_that_runs() -> None:
    running, stopped = (pipeline("orders"), counters(an_input())), pipeline("nightly", "Stopped")
    async with feldera(running, stopped) as (source, upstream):
        first = await source.poll(Known())
        assert upstream.served.asked[0].query == {"selector": "status"}
        assert sorted(upstream.asked) == ["nightly?all", "orders/stats", "orders?all"]
        stats = next(asked for asked in upstream.served.asked if asked.path.endswith("/stats"))
        assert stats.query == {"include_connector_errors": "true"}
        upstream.forget()
        await source.poll(remember(Known(), first))
        assert upstream.asked == ["orders/stats"]


async def test_a_program_is_read_again_when_it_changed() -> None:
    info = program("orders", {"orders.a": configured_kafka()})
    async with feldera((pipeline("orders", "Stopped"), None, info)) as (source, upstream):
        await source.poll(Known())
        upstream.forget()
        upstream.listed[0]["refresh_version"] += 1
        upstream.programs["orders"] = program("orders", {"orders.b": configured_kafka()})
        seen = await source.poll(Known())
        assert upstream.asked == ["orders?all"]
    assert [fact.external_id for fact in seen.connectors] == ["orders/orders.b"]


async def test_only_chosen_pipelines_are_read() -> None:
    async with feldera(pipeline("a", "Stopped"), (pipeline("b"), counters(an_input())), pipelines=("b", "missing")) as (
        source,
        upstream,
    ):
        seen = await source.poll(Known(open_jobs={"a/x@1": "a/x"}))
        assert {path.split("/")[0].split("?")[0] for path in upstream.asked} == {"b"}
    assert {fact.external_id for fact in seen.connectors} == {"b/orders.kafka_orders"}
    assert seen.complete
    assert [problem.message for problem in seen.problems] == ["pipeline missing: configured here, unknown there"]
    assert not seen.canceled_jobs


async def test_an_unreadable_entry_of_the_list_is_reported_and_the_rest_kept() -> None:
    good = (pipeline("orders"), counters(an_input()))
    async with feldera(good) as (source, upstream):
        upstream.listed += ["odd", {"id": 1}, {"name": 7}, upstream.listed[0]]
        seen = await source.poll(Known(open_jobs={"other/x@1": "other/x"}))
    assert [fact.external_id for fact in seen.connectors] == ["orders/orders.kafka_orders"]
    assert not seen.complete
    assert len(seen.problems) == 3
    assert {problem.code for problem in seen.problems} == {SystemErrorCode.MISMATCH}
    assert not seen.canceled_jobs  # its pipeline may be one of those that could not be read


async def test_a_pipeline_that_is_told_again_counts_once() -> None:
    first = pipeline("orders", "Stopped", deployment_error={"message": "first"}, deployment_resources_status_since=[])
    async with feldera((first, None, program("orders", {"orders.kafka_orders": configured_kafka()}))) as (
        source,
        upstream,
    ):
        upstream.listed += [first | {"deployment_error": {"message": "later"}}] * 500
        seen = await source.poll(Known())
    assert [shown(fact)["deployment_error"]["message"] for fact in seen.connectors] == ["first"]
    assert len(seen.problems) == 1


async def test_a_long_list_leaves_others_their_turns() -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count_turns())
    taken = [number async for number in by_turns(range(2_000))]
    counting.cancel()
    assert taken == list(range(2_000))
    assert turns >= 20


@cases("large", ["x" * 100_000, ["x" * 1_000] * 100, {"deep": [{"of": "x" * 100_000}]}])
async def test_an_unknown_value_that_is_too_large_leaves_a_note(large: object) -> None:
    entry = pipeline("orders", padding=large)
    endpoint = an_input(padding=large, metrics=metrics(padding=large))
    stats = counters(endpoint, run={"padding": large}, padding_of_all=large)
    async with feldera((entry, stats)) as (source, _):
        seen = await source.poll(Known())
    assert seen.complete
    assert not seen.problems
    connector, run = shown(seen.connectors[0]), shown(seen.jobs[0])["run"]
    places = (connector["pipeline"], connector["extra"], connector["metrics"])
    notes = [*(place["padding"] for place in places), run["padding"], run["padding_of_all"]]
    assert [note.partition(":")[0] for note in notes] == ["[left out"] * 5
    assert len(repr(seen)) < 50_000


async def test_a_list_that_is_none_is_a_mismatch() -> None:
    async with canned({f"GET {LIST}": Reply({"pipelines": []})}) as upstream:
        source = FelderaSource(configured(upstream.url))
        with pytest.raises(SourceMismatch, match="expected a list"):
            await source.poll(Known())
        await source.close()


# ---- a pipeline's counters


async def test_unreadable_endpoints_are_reported_and_the_rest_kept() -> None:
    stats = counters(an_input("orders.a"), "odd", {"metrics": {}}, an_input("orders.b"), an_input("orders.a"))
    async with feldera((pipeline("orders"), stats)) as (source, _):
        seen = await source.poll(Known(open_jobs={f"orders/orders.c@{INCARNATION}": None, "orders/orders.a@old": None}))
    assert [fact.external_id for fact in seen.connectors] == ["orders/orders.a", "orders/orders.b"]
    assert [job.connector for job in seen.jobs] == ["orders/orders.a", "orders/orders.b"]
    assert not seen.complete
    assert len(seen.problems) == 2
    assert all("pipeline orders" in problem.message for problem in seen.problems)
    assert seen.canceled_jobs == {"orders/orders.a@old"}  # c may be one of those that could not be read


@cases("wrong", [-1, 2**63, "many", 1.5, True])
@cases("key", ["total_records", "num_parse_errors", "processing_latency_p99_micros"])
async def test_a_counter_that_is_none_is_kept_out(key: str, wrong: object) -> None:
    stats = counters(an_input(metrics=metrics(**{key: wrong})), outputs=[an_output()])
    async with feldera((pipeline("orders"), stats)) as (source, _):
        seen = await source.poll(Known())
    assert len(seen.connectors) == len(seen.jobs) == 2
    (problem,) = seen.problems
    assert f"orders/orders.kafka_orders: metrics.{key}" in problem.message
    told = shown(seen.connectors[0])["metrics"]
    assert told[key] is None
    assert told["total_bytes"] == 734003200
    if key == "total_records":
        assert (seen.jobs[0].counts.total, seen.jobs[0].processed) == (None, None)


@cases(
    ("change", "about"),
    [
        ({"paused": "no"}, "paused"),
        ({"barrier": 1}, "barrier"),
        ({"fatal_error": 5}, "fatal_error"),
        ({"health": "well"}, "health"),
        ({"metrics": [1]}, "metrics"),
        ({"config": "orders"}, "config"),
        ({"parse_errors": "none"}, "parse_errors"),
        ({"completed_frontier": {"completed_at": "soon"}}, "completed_frontier.completed_at"),
        ({"transport_errors": [{"message": "a", "index": -1}]}, "transport_errors.index"),
        ({"transport_errors": [{"message": "a"}, {"index": 3}]}, "transport_errors.message: missing"),
    ],
)
async def test_a_wrong_value_costs_itself_alone(change: dict[str, Any], about: str) -> None:
    async with feldera((pipeline("orders"), counters(an_input(**change)))) as (source, _):
        seen = await source.poll(Known())
    assert [fact.external_id for fact in seen.connectors] == ["orders/orders.kafka_orders"]
    (problem,) = seen.problems
    assert about in problem.message
    if "transport_errors" in change and len(change["transport_errors"]) == 2:
        assert [error["message"] for error in shown(seen.connectors[0])["transport_errors"]] == ["a"]


async def test_errors_and_the_barrier_are_told_while_counters_are() -> None:
    reading = an_input(barrier=True, metrics=metrics(num_parse_errors=4, num_transport_errors=0))
    sending = an_output(metrics={"num_encode_errors": 2, "transmitted_records": 5})
    async with feldera((pipeline("orders"), counters(reading, outputs=[sending]))) as (source, _):
        read, sent = (await source.poll(Known())).connectors
    assert (read.parse_errors, read.transport_errors, read.blocks_checkpoint) == (4, 0, True)
    assert (sent.parse_errors, sent.transport_errors, sent.blocks_checkpoint) == (2, None, False)


@cases("key", ["inputs", "outputs"])
async def test_endpoints_that_are_no_list_are_shown_as_configured(key: str) -> None:
    info = program("orders", {"orders.kafka_orders": configured_kafka()}, {"totals.out": configured_kafka("totals")})
    stats = counters(an_input(), outputs=[an_output("totals.out")]) | {key: None}
    async with feldera((pipeline("orders"), stats, info)) as (source, _):
        seen = await source.poll(Known())
    statuses = {fact.external_id: fact.status for fact in seen.connectors}
    lost, kept = ("orders.kafka_orders", "totals.out")[:: 1 if key == "inputs" else -1]
    assert statuses == {f"orders/{lost}": ConnectorStatus.UNKNOWN, f"orders/{kept}": ConnectorStatus.ACTIVE}
    assert not seen.complete


#: Feldera's own word for the pipeline, not a failure to read it
UNAVAILABLE = (error_reply("unavailable"), SystemErrorCode.UPSTREAM_ERROR)
TROUBLE: list[tuple[Reply, SystemErrorCode]] = [
    (error_reply("unreachable_timeout"), SystemErrorCode.UPSTREAM_ERROR),
    (error_reply("unreachable_disconnected"), SystemErrorCode.UPSTREAM_ERROR),
    (error_reply("invalid_response_too_large"), SystemErrorCode.UPSTREAM_ERROR),
    (error_reply("from_pipeline_initialization_error"), SystemErrorCode.UPSTREAM_ERROR),
    UNAVAILABLE,
    (error_reply("proxy_html"), SystemErrorCode.UPSTREAM_ERROR),
    (Reply(text="<html>"), SystemErrorCode.MISMATCH),
    (Reply([]), SystemErrorCode.MISMATCH),
]


@cases(("reply", "code"), TROUBLE)
async def test_a_pipeline_that_cannot_be_read_costs_no_other(reply: Reply, code: SystemErrorCode) -> None:
    info = program("lost", {"orders.kafka_orders": configured_kafka()})
    async with feldera((pipeline("lost"), reply, info), (pipeline("fine"), counters(an_input()))) as (source, _):
        seen = await source.poll(Known(open_jobs={"lost/orders.kafka_orders@1": "lost/orders.kafka_orders"}))
    assert {fact.external_id: (fact.status, fact.source) for fact in seen.connectors} == {
        "lost/orders.kafka_orders": (ConnectorStatus.UNKNOWN, "kafka"),
        "fine/orders.kafka_orders": (ConnectorStatus.ACTIVE, "unknown"),
    }
    assert not seen.complete
    (problem,) = seen.problems
    assert problem.code is code
    assert "pipeline lost" in problem.message
    assert problem.retry_after is None  # it was said of one pipeline
    assert not seen.canceled_jobs


@cases(("reply", "code"), [row for row in TROUBLE if row != UNAVAILABLE])
async def test_what_is_known_of_a_pipeline_outlasts_a_failure_to_read_it(reply: Reply, code: SystemErrorCode) -> None:
    """The last known values are worth more than UNKNOWN: the connector is left out of the answer, which says so."""
    info = program("orders", {"orders.kafka_orders": configured_kafka()})
    async with feldera((pipeline("orders"), counters(an_input()), info)) as (source, upstream):
        known = remember(Known(), await source.poll(Known()))
        upstream.counters["orders"] = reply
        seen = await source.poll(known)
        assert (list(seen.connectors), seen.complete) == ([], False)
        assert [problem.code for problem in seen.problems] == [code]
        assert not seen.canceled_jobs | seen.gone_jobs
        upstream.counters["orders"] = Reply(counters(an_input()))
        again = await source.poll(known)
    assert [fact.status for fact in again.connectors] == [ConnectorStatus.ACTIVE]
    assert again.complete


@cases(
    ("error", "status", "word"),
    [
        ("not_deployed", ConnectorStatus.INACTIVE, "Stopped"),
        ("not_deployed_before_retry_after", ConnectorStatus.INACTIVE, "Stopped"),
        ("not_deployed_provisioning", ConnectorStatus.SCHEDULED, "Provisioning"),
        ("from_pipeline_initializing", ConnectorStatus.SCHEDULED, "Initializing"),
        ("from_pipeline_awaitingapproval", ConnectorStatus.SCHEDULED, "AwaitingApproval"),
        ("from_pipeline_suspended", ConnectorStatus.INACTIVE, "Suspended"),
        ("from_pipeline_terminating", ConnectorStatus.INACTIVE, "Stopping"),
    ],
)
async def test_what_the_state_explains_is_no_problem(error: str, status: ConnectorStatus, word: str) -> None:
    info = program("p", {"orders.kafka_orders": configured_kafka()})
    async with feldera((pipeline("p"), error_reply(error), info)) as (source, _):
        seen = await source.poll(Known(open_jobs={"p/orders.kafka_orders@1": "p/orders.kafka_orders"}))
    assert [(fact.status, fact.upstream_status) for fact in seen.connectors] == [(status, word)]
    assert seen.complete
    assert not seen.problems
    assert not seen.canceled_jobs  # the manager's memory may be five seconds old


async def test_a_pipeline_deleted_meanwhile_is_no_problem() -> None:
    async with feldera(
        (pipeline("gone"), error_reply("unknown_pipeline")), (pipeline("fine"), counters(an_input()))
    ) as (source, _):
        seen = await source.poll(Known(open_jobs={"gone/a@1": "gone/a"}))
    assert seen.complete
    assert not seen.problems
    assert {fact.external_id for fact in seen.connectors} == {"fine/orders.kafka_orders"}
    assert seen.canceled_jobs == {"gone/a@1"}


async def test_a_program_that_cannot_be_read_costs_its_transports_alone() -> None:
    async with feldera((pipeline("p"), counters(an_input()), Reply({"message": "no"}, 500))) as (source, upstream):
        seen = await source.poll(Known())
        assert [(fact.source, fact.status) for fact in seen.connectors] == [("unknown", ConnectorStatus.ACTIVE)]
        assert not seen.complete
        assert "pipeline p: its program" in seen.problems[0].message
        upstream.programs["p"] = program("p", {"orders.kafka_orders": configured_kafka()})
        seen = await source.poll(Known())
    assert [fact.source for fact in seen.connectors] == ["kafka"]
    assert seen.complete


async def test_credentials_refused_by_a_pipeline_end_the_poll() -> None:
    async with feldera((pipeline("p"), error_reply("insufficient_permissions"))) as (source, _):
        with pytest.raises(SourceAuthFailed, match="Insufficient permissions"):
            await source.poll(Known())


async def test_a_rate_limit_leaves_the_rest_for_later() -> None:
    limited = Reply({"message": "slow down", "error_code": "ApiConnectionLimit"}, 429, {"Retry-After": "5"})
    async with feldera(*((pipeline(f"p{number}"), limited) for number in range(20))) as (source, upstream):
        seen = await source.poll(Known())
        assert len([path for path in upstream.asked if path.endswith("/stats")]) <= CONCURRENCY
    assert not seen.complete
    assert {problem.retry_after for problem in seen.problems} == {5.0, None}
    assert len(seen.problems) == 20


async def test_no_more_than_four_pipelines_are_read_at_once() -> None:
    at_once, most = 0, 0

    async def slow(request: web.Request) -> web.Response:
        nonlocal at_once, most
        if request.path == LIST:
            return web.json_response([pipeline(f"p{number}") for number in range(12)])
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0)
        at_once -= 1
        return web.json_response(counters() if request.path.endswith("/stats") else program("p"))

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", slow)
    async with serve(app) as running:
        source = FelderaSource(configured(running.url))
        seen = await source.poll(Known())
        await source.close()
    assert seen.complete
    assert 1 < most <= CONCURRENCY


async def test_silent_pipelines_are_asked_last_and_not_all_of_them() -> None:
    """A dozen that never answer come first in the list; the one that does is read all the same, the second time."""
    silent = [f"silent-{number}" for number in range(12)]

    async def answer(request: web.Request) -> web.Response:
        name = request.path.removeprefix(LIST).strip("/").split("/")[0]
        if not name:
            return web.json_response([pipeline(name) for name in (*silent, "fine")])
        if request.path.endswith("/stats") and name in silent:
            await asyncio.Event().wait()
        return web.json_response(counters(an_input()) if request.path.endswith("/stats") else program(name))

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    async with serve(app) as running:
        source = FelderaSource(configured(running.url, timeout=0.4))
        first, second = await source.poll(Known()), await source.poll(Known())
        await source.close()
    assert not first.complete
    assert sum("no complete answer" in problem.message for problem in first.problems) < PATIENCE + CONCURRENCY
    assert {fact.external_id for fact in second.connectors} == {"fine/orders.kafka_orders"}


# ---- jobs


async def test_a_new_incarnation_is_a_new_job_and_ends_the_old_one() -> None:
    async with feldera((pipeline("orders"), counters(an_input()))) as (source, upstream):
        first = await source.poll(Known())
        (job,) = first.jobs
        assert job.external_id == f"orders/orders.kafka_orders@{INCARNATION}"
        known = remember(Known(), first)
        upstream.counters["orders"] = Reply(counters(an_input(), run={"incarnation_uuid": "another"}))
        second = await source.poll(known)
    assert [job.external_id for job in second.jobs] == ["orders/orders.kafka_orders@another"]
    assert second.canceled_jobs == {job.external_id}
    assert not second.gone_jobs


@cases("word", ["Stopped", "Stopping", "Suspended", "Provisioning"])
async def test_a_run_whose_process_is_gone_was_canceled(word: str) -> None:
    async with feldera(pipeline("orders", word)) as (source, _):
        seen = await source.poll(Known(open_jobs={"orders/a@1": "orders/a", "orders/b@1": None}))
    assert seen.canceled_jobs == {"orders/a@1", "orders/b@1"}
    assert not seen.jobs


@cases("word", ["Initializing", "Unavailable", "AwaitingApproval", "Hibernating"])
async def test_of_a_process_that_tells_nothing_nothing_is_said(word: str) -> None:
    async with feldera(pipeline("orders", word)) as (source, _):
        seen = await source.poll(Known(open_jobs={"orders/a@1": "orders/a"}))
    assert not seen.canceled_jobs


async def test_an_endpoint_that_left_its_pipeline_takes_its_run_along() -> None:
    guest = "orders.api-ingress-9d2c1f2e3d4c5b6a"
    async with feldera((pipeline("orders"), counters(an_input(), an_input(guest)))) as (source, upstream):
        first = await source.poll(Known())
        upstream.counters["orders"] = Reply(counters(an_input()))
        second = await source.poll(remember(Known(), first))
    assert second.canceled_jobs == {f"orders/{guest}@{INCARNATION}"}


async def test_a_pipeline_that_vanishes_takes_its_runs_along() -> None:
    async with feldera((pipeline("orders"), counters(an_input())), pipeline("other", "Stopped")) as (source, upstream):
        known = remember(Known(), await source.poll(Known()))
        del upstream.listed[0]
        assert not (await source.poll(known)).canceled_jobs  # nor are its connectors removed by one such answer
        for row in known.connectors.values():
            row.missed_polls = 1
        assert (await source.poll(known)).canceled_jobs == set(known.open_jobs)
        upstream.listed.clear()
        assert not (await source.poll(known)).canceled_jobs  # a list that is suddenly empty is not believed at once


async def test_a_server_that_names_no_incarnation_still_has_runs() -> None:
    run = {"incarnation_uuid": None}
    async with feldera((pipeline("orders"), counters(an_input(), run=run))) as (source, upstream):
        seen = await source.poll(Known())
        deployment = upstream.listed[0]["deployment_id"]
        assert [job.external_id for job in seen.jobs] == [f"orders/orders.kafka_orders@{deployment}"]
        upstream.listed[0]["deployment_id"] = upstream.listed[0]["deployment_resources_status_since"] = None
        upstream.counters["orders"] = Reply(counters(an_input(), run={**run, "start_time": None}))
        seen = await source.poll(Known())
    assert not seen.jobs
    assert len(seen.connectors) == 1
    assert "no run without" in seen.problems[0].message


# ---- error texts of older servers


def older(**counted: int) -> dict[str, Any]:
    """An input whose counters come without texts."""
    sent = an_input(metrics=metrics(**counted))
    return {key: value for key, value in sent.items() if key not in ("parse_errors", "transport_errors")}


ROUTE = 'tables/"orders"/connectors/kafka_orders/stats'
TEXTS = read("input/stats.running.response.json")


async def test_error_texts_are_asked_for_when_a_counter_moved() -> None:
    async with feldera((pipeline("p"), counters(older()))) as (source, upstream):
        upstream.endpoints[ROUTE] = Reply(TEXTS)
        quiet = await source.poll(Known())
        assert not [path for path in upstream.asked if "connectors" in path]
        assert quiet.jobs[0].errors == ()
        for counted, requests in ((3, 1), (3, 0), (4, 1)):
            upstream.forget()
            upstream.counters["p"] = Reply(counters(older(num_parse_errors=counted)))
            seen = await source.poll(Known())
            assert [path for path in upstream.asked if "connectors" in path] == [f"p/{ROUTE}"] * requests
            assert seen.jobs[0].errors is not None
            assert [error.message for error in seen.jobs[0].errors] == [e["message"] for e in TEXTS["parse_errors"]]
            assert len(shown(seen.connectors[0])["parse_errors"]) == 3


async def test_texts_of_an_earlier_incarnation_are_not_shown_again() -> None:
    async with feldera((pipeline("p"), counters(older(num_parse_errors=3)))) as (source, upstream):
        upstream.endpoints[ROUTE] = Reply(TEXTS)
        await source.poll(Known())
        upstream.endpoints[ROUTE] = error_reply("unreachable_timeout")
        upstream.counters["p"] = Reply(counters(older(num_parse_errors=4)))
        kept = await source.poll(Known())
        assert kept.jobs[0].errors is not None
        assert len(kept.jobs[0].errors) == 3
        assert "error texts" in kept.problems[0].message
        fresh = counters(older(num_parse_errors=4), run={"incarnation_uuid": "new"})
        upstream.counters["p"] = Reply(fresh)
        assert (await source.poll(Known())).jobs[0].errors is None


async def test_texts_of_endpoints_that_left_are_forgotten() -> None:
    async with feldera((pipeline("p"), counters(older(num_parse_errors=3)))) as (source, upstream):
        upstream.endpoints[ROUTE] = Reply(TEXTS)
        await source.poll(Known())
        assert source._memory.texts
        upstream.counters["p"] = Reply(counters(an_input("orders.other")))
        await source.poll(Known())
        assert not source._memory.texts


@cases("name", ["now", "unknown"])
async def test_an_endpoint_without_a_relation_has_no_route(name: str) -> None:
    sent = {**older(num_parse_errors=1), "endpoint_name": name, "config": {"stream": name}}
    async with feldera((pipeline("p"), counters(sent))) as (source, upstream):
        seen = await source.poll(Known())
        assert not [path for path in upstream.asked if "connectors" in path]
    assert seen.complete
    assert seen.jobs[0].errors is None


async def test_a_server_that_never_tells_texts_is_asked_once_for_each_error() -> None:
    bare = {key: value for key, value in TEXTS.items() if not key.endswith("_errors")}
    async with feldera((pipeline("p"), counters(older(num_parse_errors=3)))) as (source, upstream):
        upstream.endpoints[ROUTE] = Reply(bare)
        first, second = await source.poll(Known()), await source.poll(Known())
        assert len([path for path in upstream.asked if "connectors" in path]) == 1
    assert (first.jobs[0].errors, second.jobs[0].errors) == (None, None)


async def test_an_older_server_shows_the_same_facts_as_a_newer_one() -> None:
    facts = []
    for error_texts in (True, False):
        async with simulated(error_texts=error_texts) as api:
            source = FelderaSource(configured(api.url, token=TOKEN))
            seen = await source.poll(Known())
            await source.close()
        assert seen.complete
        facts.append(({f.external_id: f for f in seen.connectors}, {j.external_id: j for j in seen.jobs}))
    assert facts[0] == facts[1]
    assert any(job.errors for job in facts[0][1].values())


# ---- the live lane


async def test_a_look_asks_for_the_pipelines_of_these_jobs_alone() -> None:
    pipelines = ((pipeline(name), counters(an_input(), an_input("orders.b"))) for name in ("p", "q", "r"))
    async with feldera(*pipelines) as (source, upstream):
        first = await source.poll(Known())
        known = remember(Known(), first)
        upstream.forget()
        jobs = frozenset(job for job in known.open_jobs if job.startswith(("p/", "r/")))
        seen = await source.look(known, jobs)
        assert LIST not in upstream.served.paths
        assert sorted(upstream.asked) == ["p/stats", "p?status", "r/stats", "r?status"]
    assert {job.external_id for job in seen.jobs} == jobs
    assert not seen.complete
    assert not seen.problems
    told = {fact.fingerprint for fact in first.connectors} | {job.fingerprint for job in first.jobs}
    assert {fact.fingerprint for fact in seen.connectors} | {job.fingerprint for job in seen.jobs} < told


async def test_a_look_sees_runs_end() -> None:
    pipelines = [(pipeline(name), counters(an_input())) for name in ("stopped", "deleted", "restarted", "lost", "on")]
    async with feldera(*pipelines) as (source, upstream):
        known = remember(Known(), await source.poll(Known()))
        upstream.listed[0]["deployment_status"] = "Stopped"
        del upstream.listed[1]
        upstream.counters["restarted"] = Reply(counters(an_input(), run={"incarnation_uuid": "new"}))
        upstream.counters["lost"] = error_reply("unreachable_timeout")
        seen = await source.look(known, frozenset(known.open_jobs))
    ended = {job.split("/")[0] for job in seen.canceled_jobs}
    assert ended == {"stopped", "deleted", "restarted"}
    assert {job.external_id.split("/")[0] for job in seen.jobs} == {"on", "restarted"}
    assert "lost/orders.kafka_orders" not in {fact.external_id for fact in seen.connectors}
    assert ["pipeline lost" in problem.message for problem in seen.problems] == [True]


async def test_a_look_at_nothing_asks_nothing() -> None:
    async with feldera(pipeline("p")) as (source, upstream):
        seen = await source.look(Known(), frozenset())
        assert not upstream.served.asked
    assert not seen.connectors
    assert not seen.complete


async def test_a_look_raises_only_when_nothing_could_be_read() -> None:
    async with feldera((pipeline("p"), counters(an_input())), (pipeline("q"), counters(an_input()))) as (source, up):
        known = remember(Known(), await source.poll(Known()))
        answer = up.answer

        def refuse(only: str) -> Any:
            def reply(asked: Asked) -> Reply:
                return Reply({"message": "down"}, 500) if only in asked.path else answer(asked)

            return reply

        up.served.answers._answer = refuse("/q")  # type: ignore[attr-defined]
        seen = await source.look(known, frozenset(known.open_jobs))
        assert [job.connector for job in seen.jobs] == ["p/orders.kafka_orders"]
        assert "pipeline q" in seen.problems[0].message
        up.served.answers._answer = refuse("")  # type: ignore[attr-defined]
        with pytest.raises(SourceUnreachable):
            await source.look(known, frozenset(known.open_jobs))


async def test_a_look_moves_with_the_simulated_world() -> None:
    async with simulated() as api:
        source = FelderaSource(configured(api.url, token=TOKEN))
        known = remember(Known(), await source.poll(Known()))
        jobs = frozenset(job for job in known.open_jobs if job.startswith("orders/"))
        before = await source.look(known, jobs)
        api.pass_time(2)
        after = await source.look(known, jobs)
        await source.close()
    assert before.jobs
    told = {job.external_id: job.fingerprint for job in before.jobs}
    assert any(told.get(job.external_id) != job.fingerprint for job in after.jobs)
