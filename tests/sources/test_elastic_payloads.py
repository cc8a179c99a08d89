"""Every example payload of Elastic goes through the adapter or is compared with the simulator (elastic.md §4 – §11)."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import aiohttp
import pytest

from connectory.model import ConnectorFact, ConnectorStatus, JobFact, JobStatus, Known, KnownConnector
from sources.base import SourceAuthFailed, SourceMismatch, SourceRateLimited, SourceUnreachable
from sources.elastic.client import ElasticClient
from sources.elastic.mapping import CONNECTOR_STATUS, JOB_STATUS, connector_fact, job_fact
from sources.elastic.source import ElasticSource
from sources.reading import count
from tests.sources.canned import Reply
from tests.sources.cases import cases
from tests.sources.contract import START
from tests.sources.elastic_stage import (
    CONNECTORS,
    EMPTY,
    FOLDER,
    JOBS,
    TIMELINES,
    Door,
    answering,
    load,
    open_door,
    served,
    settings,
)
from tests.sources.payloads import Likeness, Refusal, Shape, VocabularyContract

# ---- answers over HTTP


def joined(*names: str) -> dict[str, Any]:
    pages = [load(name) for name in names]
    return {"count": pages[0]["count"], "results": [entry for page in pages for entry in page["results"]]}


CONNECTOR_PAGES = ("connector/list.from_0.size_4.response.json", "connector/list.from_4.size_4.response.json")
JOB_PAGES = (
    "sync_job/list.from_0.size_5.newest_first.response.json",
    "sync_job/list.from_5.size_5.newest_first.response.json",
    "sync_job/list.from_10.size_5.last_page.response.json",
)


async def test_the_example_lists_make_one_observation() -> None:
    connectors, jobs = joined(*CONNECTOR_PAGES), joined(*JOB_PAGES)
    by_status = dict.fromkeys(("pending", "canceling", "suspended"), load("sync_job/list.empty.response.json"))
    by_status["in_progress"] = load("sync_job/list.status_in_progress.response.json")
    async with answering(served(connectors), served(jobs, **by_status)) as (_, source):
        seen = await source.poll(Known())
    assert seen.complete
    assert not seen.problems
    assert [fact.external_id for fact in seen.connectors] == [entry["id"] for entry in connectors["results"]]
    assert {job.external_id for job in seen.jobs} == {entry["id"] for entry in jobs["results"]}
    assert len(seen.connectors) == connectors["count"] == 7
    assert len(seen.jobs) == jobs["count"] == 12


async def test_an_empty_cluster_is_a_complete_answer() -> None:
    async with answering(served(EMPTY), served(load("sync_job/list.empty.response.json"))) as (_, source):
        seen = await source.poll(Known())
    assert (list(seen.connectors), list(seen.jobs), seen.complete) == ([], [], True)


async def test_one_page_may_be_oldest_first() -> None:
    async with answering(jobs=served(load("sync_job/list.8_12_oldest_first.response.json"))) as (_, source):
        known = Known(connectors={"kzpIRo8BYe1XwP0n5Xj7": KnownConnector()})
        batches = [batch async for batch in source.history(known, frozenset(known.connectors))]
    moments = [job.order_at for batch in batches for job in batch.jobs]
    assert len(moments) == 2
    assert moments == sorted(moments, reverse=True)


async def test_history_of_one_connector_by_its_own_list() -> None:
    latest = load("sync_job/list.connector_id.size_1.latest.response.json")
    connector = latest["results"][0]["connector"]["id"]
    saturated = load("connector/list.count_saturated.size_0.response.json")
    async with answering(jobs=served(saturated, **{connector: {**latest, "count": 1}})) as (_, source):
        batches = [batch async for batch in source.history(Known(), frozenset({connector}))]
    assert [job.external_id for batch in batches for job in batch.jobs] == [latest["results"][0]["id"]]
    assert [batch.finished for batch in batches] == [{connector}]


@cases(("name", "number"), [("size_0", 7), ("count_saturated.size_0", 10_000)])
async def test_counts_without_entries_are_understood(name: str, number: int) -> None:
    async with answering(served(load(f"connector/list.{name}.response.json"))) as (_, source):
        page = await source.client.connectors(0, 0, lambda _: None)
    assert (page.count, page.results) == (number, [])


@cases("name", ["root.stack.response.json", "root.serverless.response.json"])
async def test_a_root_answer_is_no_list(name: str) -> None:
    async with answering(Reply(load(name))) as (_, source):
        with pytest.raises(SourceMismatch, match=r"expected \{count, results\}.*no X-Elastic-Product header"):
            await source.poll(Known())


# ---- errors

#: error example → a piece of the message
SAID = {
    "bad_job_type": "Unknown ConnectorSyncJobType [everything]",
    "cancel_finished_job": "from [completed] to [canceling]",
    "circuit_breaker": "Data too large",
    "cluster_block": "state not recovered",
    "connector_not_found": "connector [nope] not found",
    "index_in_use": "used by another connector",
    "method_not_allowed_error_is_string": "Incorrect HTTP method",
    "negative_from": "Parameter [from] cannot be < 0",
    "no_credentials": "missing authentication credentials",
    "no_handler_error_is_string": "needs 8.12 or newer",
    "no_privilege": "monitor_connector",
    "post_job_no_index": "no index attached",
    "post_job_unknown_connector": "does not exist",
    "proxy_html": "502",
    "proxy_json_without_product_header": "not come from Elasticsearch",
    "rejected": "rejected execution",
    "result_window": "Result window is too large",
    "sync_job_not_found": "resource_not_found_exception: nope",
    "sync_job_not_found_no_index": "connector sync job [nope] not found",
    "unknown_parameter": "unrecognized parameter: [page]",
    "validation": "cannot be null or empty",
    "wrong_api_key": "unable to authenticate",
}


@cases(
    ("name", "gone"),
    [
        ("sync_job_not_found", True),
        ("sync_job_not_found_no_index", True),
        ("proxy_json_without_product_header", False),
        ("cluster_block", False),
    ],
)
async def test_which_refusals_mean_that_a_job_is_gone(name: str, gone: bool) -> None:
    async with answering() as (upstream, source):
        upstream.answers["GET /_connector/_sync_job/nope"] = Reply.of(load(f"errors/{name}.json"))
        seen = await source.poll(Known(open_jobs={"nope": "c1"}, newest_job_at=START))
    assert (seen.gone_jobs == {"nope"}) is gone
    assert bool(seen.problems) is not gone
    assert seen.owed == (frozenset() if gone else {"c1"})


async def test_a_header_or_version_that_is_not_spoken_is_named() -> None:
    error = {"type": "media_type_header_exception", "reason": "Invalid media-type value on headers [Accept]"}
    async with answering(Reply({"error": error, "status": 400}, 400)) as (_, source):
        with pytest.raises(SourceMismatch, match="does not speak the media type or API version"):
            await source.poll(Known())


# ---- the simulator against the examples

#: what the examples of single documents call the body that they are the answer to; each leaves the next one possible
WRITES: dict[str, tuple[str, str, str | None, int]] = {
    "connector/post.201.response.json": ("POST", "/_connector", "connector/post.request.json", 201),
    "connector/update_any.response.json": ("PUT", "/_connector/{c}/_check_in", None, 200),
    "sync_job/post.201.response.json": ("POST", "/_connector/_sync_job", "sync_job/post.request.json", 201),
    "sync_job/cancel.response.json": ("PUT", "/_connector/_sync_job/{p}/_cancel", None, 200),
    "sync_job/delete.response.json": ("DELETE", "/_connector/_sync_job/{p}", None, 200),
    "connector/put.existing.200.response.json": ("PUT", "/_connector/{c}", None, 200),
    "connector/delete.response.json": ("DELETE", "/_connector/{c}", None, 200),
}
#: requests of the examples → where they go, in an order that is possible; all are answered like update_any
REQUESTS_TO = {
    "connector/update_error.set.request.json": "/_connector/{c}/_error",
    "connector/update_error.clear.request.json": "/_connector/{c}/_error",
    "connector/update_scheduling.request.json": "/_connector/{c}/_scheduling",
    "connector/update_status.request.json": "/_connector/{n}/_status",
    "sync_job/claim.request.json": "/_connector/_sync_job/{p}/_claim",
    "sync_job/stats.request.json": "/_connector/_sync_job/{r}/_stats",
    "sync_job/error.request.json": "/_connector/_sync_job/{r}/_error",
}


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with open_door() as door:
        yield door


@cases("status", ["pending", "in_progress", "completed", "error", "canceled", "canceling"])  # the last one by force
async def test_simulated_jobs_have_the_keys_of_their_status(door: Door, status: str) -> None:
    steps = [step["sync_job"] for name in TIMELINES for step in load(name)]
    examples = [job for job in [*JOBS.values(), *steps] if job["status"] == status]
    if status == "canceling":
        assert (await door.ask("PUT", "/_connector/_sync_job/{r}/_cancel"))[0] == 200
    mine = [job for job in await door.documents("/_connector/_sync_job?size=1000") if job["status"] == status]
    assert mine
    allowed = set().union(*examples)
    always = set(examples[0]).intersection(*examples)
    for job in mine:
        assert always <= job.keys() <= allowed


@cases("name", WRITES)
async def test_simulated_writes_answer_like_the_examples(door: Door, name: str) -> None:
    method, path, sent, status = WRITES[name]
    body = load(sent) if sent else None
    if sent == "sync_job/post.request.json":
        body = {**load(sent), "id": door.ids["c"]}
    elif sent:
        body = {**load(sent), "index_name": "search-tickets-2"}
    got, answered, _ = await door.ask(method, path, body)
    example = load(name)
    assert got == status
    assert {key: type(value) for key, value in answered.items()} == {key: type(v) for key, v in example.items()}
    assert {k: v for k, v in answered.items() if k != "id"} == {k: v for k, v in example.items() if k != "id"}
    if not name.endswith(("delete.response.json", "update_any.response.json")) and "result" not in example:
        assert isinstance(example["id"], str)


@cases("name", REQUESTS_TO)
async def test_the_example_requests_are_accepted(door: Door, name: str) -> None:
    got, answered, _ = await door.ask("PUT", REQUESTS_TO[name], load(name))
    assert (got, answered) == (200, load("connector/update_any.response.json"))


async def test_a_second_time_is_a_noop(door: Door) -> None:
    sent = load("connector/update_scheduling.request.json")
    await door.ask("PUT", "/_connector/{c}/_scheduling", sent)
    _, answered, _ = await door.ask("PUT", "/_connector/{c}/_scheduling", sent)
    assert answered == load("connector/update_any.noop.response.json")


async def test_a_minimal_sync_request_is_enough(door: Door) -> None:
    sent = {**load("sync_job/post.minimal.request.json"), "id": door.ids["c"]}
    assert (await door.ask("POST", "/_connector/_sync_job", sent))[0] == 201


async def test_the_simulated_root_is_the_example(door: Door) -> None:
    assert (await door.ask("GET", "/"))[1] == load("root.stack.response.json")


#: errors that the simulator can be brought to by a request: method, path, body, and what is written otherwise there
PROVOKED: dict[str, tuple[str, str, Any, dict[str, str]]] = {
    "bad_job_type": ("POST", "/_connector/_sync_job", {"id": "{c}", "job_type": "everything"}, {}),
    "cancel_finished_job": ("PUT", "/_connector/_sync_job/{done}/_cancel", None, {}),
    "connector_not_found": ("GET", "/_connector/nope", None, {}),
    "index_in_use": ("POST", "/_connector", {"index_name": "search-data-lake"}, {"search-data-lake": "search-orders"}),
    "method_not_allowed_error_is_string": ("PATCH", "/_connector", None, {}),
    "negative_from": ("GET", "/_connector?from=-1", None, {}),
    "no_handler_error_is_string": ("GET", "/_connectors", None, {}),
    "post_job_no_index": ("POST", "/_connector/_sync_job", {"id": "{bare}"}, {"{bare}": "hTpFRo8BYe1XwP0nZ3aK"}),
    "post_job_unknown_connector": ("POST", "/_connector/_sync_job", {"id": "nope"}, {}),
    "result_window": ("GET", "/_connector/_sync_job?from=10000&size=100", None, {}),
    "sync_job_not_found": ("GET", "/_connector/_sync_job/nope", None, {}),
    "unknown_parameter": ("GET", "/_connector?page=1", None, {}),
    "validation": ("POST", "/_connector/_sync_job", {}, {}),
    "no_credentials": ("GET", "/_connector", None, {}),
    "wrong_api_key": ("GET", "/_connector", None, {}),
    "no_privilege": ("GET", "/_connector", None, {"[limited]": "[abc]", "id limited": "id abc"}),
    "rejected": ("GET", "/_connector", None, {}),
}
CREDENTIALS = {"wrong_api_key": "ApiKey d3Jvbmc6a2V5", "no_privilege": "ApiKey bGltaXRlZDprZXk="}
# ---- what holds for the payloads of every kind


class TestElasticPayloads(VocabularyContract):
    folder = FOLDER
    shape = Shape(
        free=(".sync_cursor", ".metadata", ".value", ".default_value"),
        named=(".configuration",),
        # what only an old document or a hand-made one has, and the simulator does not play
        optional=(
            ".legacy_notes",
            ".extra_worker_key",
            ".extra_worker_key.v",
            ".api_key_id",
            ".configuration.*.options[]",
            ".configuration.*.options[].label",
            ".configuration.*.options[].value",
            ".configuration.*.depends_on[]",
            ".configuration.*.depends_on[].field",
            ".configuration.*.depends_on[].value",
        ),
        fewer=True,
    )
    errors: ClassVar = {
        SourceAuthFailed: "no_credentials no_privilege wrong_api_key",
        SourceMismatch: "bad_job_type cancel_finished_job connector_not_found index_in_use"
        " method_not_allowed_error_is_string negative_from no_handler_error_is_string post_job_no_index"
        " post_job_unknown_connector proxy_json_without_product_header result_window sync_job_not_found"
        " sync_job_not_found_no_index unknown_parameter validation",
        SourceRateLimited: "circuit_breaker rejected",
        SourceUnreachable: "cluster_block proxy_html",
    }
    odd_bodies: ClassVar = [{"error": 7}, {"error": {"reason": "x" * 5000}}, {"error": [1]}, [1], None, 7, "text"]
    refused = PROVOKED.keys()
    not_refused: ClassVar = {
        "the simulator has memory enough; its 429 is the other one": "circuit_breaker",
        "fault switches": "cluster_block proxy_html",
        "there is no proxy": "proxy_json_without_product_header",
        "needs a world without any job": "sync_job_not_found_no_index",
    }
    headers_apart = frozenset({"content-type"})
    connector_words: ClassVar = {
        "created": ConnectorStatus.NEEDS_CONFIGURATION,
        "needs_configuration": ConnectorStatus.NEEDS_CONFIGURATION,
        "configured": ConnectorStatus.SCHEDULED,
        "connected": ConnectorStatus.ACTIVE,
        "error": ConnectorStatus.ERROR,
        "dreaming": ConnectorStatus.UNKNOWN,
    }
    job_words: ClassVar = {
        "pending": JobStatus.PENDING,
        "in_progress": JobStatus.RUNNING,
        "suspended": JobStatus.SUSPENDED,
        "canceling": JobStatus.CANCELING,
        "canceled": JobStatus.CANCELED,
        "completed": JobStatus.SUCCEEDED,
        "error": JobStatus.FAILED,
        "resting": JobStatus.UNKNOWN,
    }
    vocabularies = (CONNECTOR_STATUS, JOB_STATUS)
    carried: ClassVar = [*REQUESTS_TO, "connector/post.request.json", "sync_job/post.request.json"]
    used: ClassVar = {
        *CONNECTOR_PAGES,
        *JOB_PAGES,
        *WRITES,
        *TIMELINES,
        *(name.partition("[")[0] for name in (*CONNECTORS, *JOBS)),
        "connector/list.empty.response.json",
        "connector/list.size_0.response.json",
        "connector/list.count_saturated.size_0.response.json",
        "connector/update_any.noop.response.json",
        "sync_job/list.empty.response.json",
        "sync_job/post.minimal.request.json",
        "root.stack.response.json",
        "root.serverless.response.json",
    }

    @asynccontextmanager
    async def answered(self, reply: Reply, where: str) -> AsyncIterator[ElasticSource]:
        async with answering(reply) as (_, source):
            yield source

    def pieces(self, name: str, example: Any) -> list[str]:
        return [SAID[name]]

    async def refusals(self) -> AsyncIterator[Refusal]:
        async with open_door() as door, aiohttp.ClientSession() as anonymous:
            finished = await door.documents("/_connector/_sync_job?status=completed&size=1")
            bare = next(c["id"] for c in await door.documents("/_connector?size=1000") if not c["index_name"])
            door.ids |= {"done": finished[0]["id"], "bare": bare}
            outside = Door(anonymous, door.url, door.faults)
            for name, (method, path, body, differs) in PROVOKED.items():
                if isinstance(body, dict):
                    body = {key: value.format(**door.ids) for key, value in body.items()}
                headers = {"Authorization": CREDENTIALS[name]} if name in CREDENTIALS else {}
                door.faults.rate_limited = name == "rejected"
                asker = outside if name == "no_credentials" else door
                status, answered, got = await asker.ask(method, path, body, headers=headers)
                said = json.dumps(answered)
                for mine, theirs in differs.items():
                    said = said.replace(mine.format(**door.ids), theirs)
                yield name, status, json.loads(said), got

    async def likenesses(self) -> AsyncIterator[Likeness]:
        steps = [step["sync_job"] for name in TIMELINES for step in load(name)]
        async with open_door() as door:
            yield (
                "connectors",
                await door.documents("/_connector?size=1000&include_deleted=true"),
                list(CONNECTORS.values()),
            )
            jobs = await door.documents("/_connector/_sync_job?size=1000")
        yield "jobs", jobs, [_of_today(job) for job in [*JOBS.values(), *steps]]

    def client(self, url: str) -> ElasticClient:
        return ElasticClient(settings(url))

    def connector_called(self, word: str) -> ConnectorFact:
        return connector_fact({"id": "c", "status": word})

    def job_called(self, word: str) -> JobFact:
        return job_fact({"id": "j", "status": word})


def _of_today(job: Any) -> Any:
    """Old workers wrote a job's filtering as an array."""
    filtering = job["connector"]["filtering"]
    return {**job, "connector": {**job["connector"], "filtering": None if isinstance(filtering, list) else filtering}}


def test_counters_of_the_examples_are_counters() -> None:
    assert all(count(job["indexed_document_count"]) is not None for job in JOBS.values())
