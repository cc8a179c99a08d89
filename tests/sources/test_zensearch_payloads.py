"""Every example payload of ZenSearch that a server answers: read by the adapter, or simulated alike."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest

from connectory.model import ConnectorFact, ConnectorStatus, JobFact, JobStatus, Known
from sources.base import SourceAuthFailed, SourceMismatch, SourceRateLimited, SourceUnreachable
from sources.zensearch import mapping
from sources.zensearch.client import JobUnknown, ZenSearchClient, unwrapped
from sources.zensearch.simulator.checks import TOKEN
from sources.zensearch.simulator.world import Connector, Job
from sources.zensearch.source import ZenSearchSource
from tests.sources.canned import Reply, canned
from tests.sources.cases import cases
from tests.sources.contract import START
from tests.sources.payloads import Likeness, Refusal, Shape, VocabularyContract
from tests.sources.zensearch_stage import (
    FILES,
    ID,
    JOBS,
    LISTS,
    SINGLES,
    TIMELINE,
    ZENSEARCH,
    Api,
    a_job,
    configured,
    connector,
    read,
    simulated,
    zensearch,
)

SHAPE = Shape(free=(".config",))


# ---- words


#: in any spelling
CONNECTOR_WORDS = {word: ConnectorStatus[word.upper()] for word in ("active", "paused", "error", "inactive")}
JOB_WORDS = {
    "PENDING": "queued pending scheduled",
    "RUNNING": "running in_progress processing syncing started In-Progress RUNNING",
    "SUCCEEDED": "completed complete succeeded success done finished Completed",
    "FAILED": "failed failure error",
    "CANCELED": "cancelled canceled aborted stopped Cancelled",
    "UNKNOWN": "finalizing completing retrying 完了",
}


def test_the_vocabularies_are_as_large_as_told() -> None:
    assert mapping.CONNECTOR_STATUS.keys() == CONNECTOR_WORDS.keys()
    assert len(mapping.JOB_STATUS) == 3 + 5 + 6 + 3 + 4


# ---- errors


@cases("name", ["not_found_connector", "not_found_job"])
async def test_a_job_that_is_not_found_is_unknown(name: str) -> None:
    example = read(f"assumed/errors/{name}.json")
    async with (
        canned({f"GET /v1/connectors/conn_1/sync/{ID}": Reply.of(example)}) as upstream,
        ZenSearchClient(configured(upstream.url)) as client,
    ):
        with pytest.raises(JobUnknown, match=example["body"]["error"]["message"]):
            await client.job("conn_1", ID)


# ---- the simulator answers alike


@cases("name", LISTS)
async def test_a_loaded_world_is_listed_as_it_was_loaded(name: str) -> None:
    example = read(name)
    async with simulated(entries=example["data"], meta="meta" in example) as api:
        status, body = await api.ask("GET", "/v1/connectors")
    assert status == 200
    assert json.dumps(body["data"]) == json.dumps(example["data"])  # keys in the same order
    SHAPE.assert_alike([body], [example])


async def test_the_adapter_reads_a_loaded_world() -> None:
    entries = read("assumed/connectors_list.every_status.response.json")["data"]
    async with simulated(entries=entries) as api:
        source = ZenSearchSource(configured(api.url, token=TOKEN))
        seen = await source.poll(Known())
        await source.close()
    assert list(seen.connectors) == [mapping.connector(entry)[0] for entry in entries]


async def test_one_connector_is_shown_as_in_the_example() -> None:
    example = read("assumed/connector_get.response.json")
    async with simulated(entries=[example["data"]]) as api:
        assert await api.ask("GET", f"/v1/connectors/{example['data']['id']}") == (200, example)


async def followed(api: Api, prefix: str) -> tuple[Any, list[Any]]:
    """The answers to a trigger and about jobs from their first moment to their ends, of all three kinds."""
    queued: Any = None
    shown: dict[str, Any] = {}
    for _ in range(120):
        for owner in list(api.world.connectors.values()):
            if (current := owner.open_job or (owner.jobs[-1] if owner.jobs else None)) is not None:
                _, body = await api.ask("GET", f"{prefix}/connectors/{owner.id}/sync/{current.id}")
                shown[body["data"]["status"]] = body
            elif queued is None and owner.status == "active":
                _, queued = await api.ask("POST", f"{prefix}/connectors/{owner.id}/sync")
        if len(shown) == 5 and queued is not None:
            break
        api.hand.move(2)
    assert shown.keys() == {"queued", "running", "completed", "failed", "cancelled"}
    return queued, list(shown.values())


async def test_a_sync_goes_as_in_the_timeline() -> None:
    """The keys of the answers, in the order in which they are sent first."""
    expected: list[tuple[str, list[str]]] = []
    for moment in read(TIMELINE):
        data = moment["response"]["data"]
        if not expected or expected[-1][0] != data["status"]:
            expected.append((data["status"], list(data)))
    seen: list[tuple[str, list[str]]] = []
    async with simulated(entries=[connector(1)]) as api:
        _, body = await api.ask("POST", "/v1/connectors/conn_1/sync")
        before = 0
        for _ in range(200):
            _, body = await api.ask("GET", f"/v1/connectors/conn_1/sync/{body['data']['jobId']}")
            data = body["data"]
            if not seen or seen[-1][0] != data["status"]:
                seen.append((data["status"], list(data)))
            now = data.get("progress", {}).get("collected", 0)
            assert now >= before
            before = now
            api.hand.move(0.2)
    assert seen == expected


@cases("name", ["documented/connector_create_s3", "documented/connector_create_github"])
async def test_connectors_are_created_as_in_the_example(name: str) -> None:
    form = read(f"{name}.request.json")
    async with simulated(entries=[]) as api:
        status, body = await api.ask("POST", "/v1/connectors", form)
        _, shown = await api.ask("GET", f"/v1/connectors/{body['data']['id']}")
    example = read("assumed/connector_create.response.json")["data"]
    assert status == 201
    assert body["data"].keys() == example.keys()
    for key in ("name", "type", "collection"):
        assert body["data"][key] == form[key]
    assert (body["data"]["status"], body["data"]["lastSync"]) == (example["status"], example["lastSync"])
    assert shown["data"] == body["data"] | {"config": form["config"]}
    assert "example-secret" not in repr(shown)


async def test_a_connector_is_updated_as_in_the_example() -> None:
    before = read("assumed/connector_get.response.json")["data"]
    form = read("documented/connector_update.request.json")
    async with simulated(entries=[before]) as api:
        answer = await api.ask("PUT", f"/v1/connectors/{before['id']}", form)
    after = before | {"name": form["name"], "config": before["config"] | form["config"]}
    assert answer == (200, {"data": after})


TRIGGERS = [name for name in FILES if "/sync_trigger.api_v1." in name]


@cases("name", TRIGGERS)
async def test_syncs_are_triggered_as_in_the_examples(name: str) -> None:
    form = read(name)
    async with simulated(entries=[connector(1)]) as api:
        owner = api.world.connectors["conn_1"]
        status, body = await api.ask("POST", "/api/v1/connectors/conn_1/sync", form)
    (started,) = owner.jobs
    assert status == 202
    SHAPE.assert_alike([body["data"]], [read("documented/sync_trigger.response.json")["data"]])
    assert body["data"]["status"] == "queued"
    assert started.mode == ("full" if form.get("force_full_sync") else form["sync_mode"])
    assert started.documents == len(form.get("file_filter", []))


async def test_a_refusal_for_speed_is_worded_as_in_the_example() -> None:
    example = read("documented/errors/rate_limited.json")
    async with simulated(entries=[], limit=1) as api:
        await api.ask("GET", "/v1/connectors")
        api.hand.move(15)
        status, body = await api.ask("GET", "/v1/connectors")
        sent = {key: api.headers[key] for key in example["headers"]}
    assert (status, body) == (example["status"], example["body"])
    reset = str(int(START.timestamp()) + 60)
    assert sent == example["headers"] | {"X-RateLimit-Limit": "1", "X-RateLimit-Reset": reset}


async def test_a_refusal_without_hints_is_worded_as_in_the_example() -> None:
    example = read("assumed/errors/rate_limited_without_retry_after.json")
    async with simulated(entries=[], limit=0, rate_hints=False) as api:
        assert await api.ask("GET", "/v1/connectors") == (example["status"], example["body"])
        assert not {"Retry-After", "X-RateLimit-Reset"} & {*api.headers}


# ---- what holds for the payloads of every kind

_SYNC = "/v1/connectors/conn_1/sync"
_KEY = {"Authorization": f"Bearer {TOKEN}"}
_CREATE = {"name": "x", "collection": "col", "config": {}}
#: error example → method, path, body, headers that make the simulator answer so
REFUSED: dict[str, tuple[str, str, Any, dict[str, str]]] = {
    "forbidden": ("GET", "/v1/connectors", None, {"Authorization": "Bearer zen_powerless"}),
    "invalid_request_with_meta": ("POST", "/api/v1/connectors", _CREATE, _KEY),
    "unauthorized_invalid_key": ("GET", "/v1/connectors", None, {"Authorization": "Bearer no"}),
    "unauthorized_no_header": ("GET", "/v1/connectors", None, {}),
    "conflict_sync_running": ("POST", _SYNC, None, _KEY),
    "not_found_connector": ("GET", "/v1/connectors/conn_9", None, _KEY),
    "not_found_job": ("GET", f"{_SYNC}/job_9", None, _KEY),
    "unprocessable_type": ("POST", "/v1/connectors", {**_CREATE, "type": "ftp"}, _KEY),
}


class TestZenSearchPayloads(VocabularyContract):
    folder = ZENSEARCH
    shape = SHAPE
    errors: ClassVar = {
        SourceAuthFailed: "forbidden unauthorized_invalid_key unauthorized_no_header",
        SourceMismatch: "conflict_sync_running invalid_request_with_meta not_found_connector not_found_job"
        " unprocessable_type",
        SourceRateLimited: "rate_limited rate_limited_without_retry_after",
        SourceUnreachable: "internal unavailable_html",
    }
    retry_after: ClassVar = {"rate_limited": 45}
    odd_bodies: ClassVar = [
        {"error": "odd"},
        {"message": "odd"},
        {"error": {"message": "x" * 5000}},
        {"error": [1]},
        [1],
        None,
        7,
        {"meta": 3},
    ]
    quoted = "odd"
    refused = REFUSED.keys()
    not_refused: ClassVar = {
        "tests of their own, above": "rate_limited rate_limited_without_retry_after",
        "the common fault switches of all simulators": "internal unavailable_html",
    }
    headers_apart = frozenset({"content-type"})
    connector_words: ClassVar = {
        spelled: status
        for word, status in CONNECTOR_WORDS.items()
        for spelled in (word, word.upper(), word.title(), f" {word} ")
    }
    job_words: ClassVar = {word: JobStatus[status] for status, words in JOB_WORDS.items() for word in words.split()}
    vocabularies = (mapping.CONNECTOR_STATUS, mapping.JOB_STATUS)
    #: neither the adapter nor the simulator has a use for them yet: the newest pages deny outbound webhooks (§7)
    carried: ClassVar = [name for name in FILES if "/webhook_" in name]
    used: ClassVar = {
        *LISTS,
        *SINGLES,
        *JOBS,
        *TRIGGERS,
        *(name for name in FILES if re.search(r"/connector_(create|update).*\.request\.json$", name)),
        "documented/oauth_authorize.response.json",
        TIMELINE,
    }

    @asynccontextmanager
    async def answered(self, reply: Reply, where: str) -> AsyncIterator[ZenSearchSource]:
        async with zensearch(reply) as (source, _):
            yield source

    def pieces(self, name: str, example: Any) -> list[str]:
        body = example["body"] if isinstance(example["body"], dict) else {}
        values = (*body.get("error", {}).values(), *body.get("meta", {}).values())
        return [value for value in values if isinstance(value, str)]

    async def refusals(self) -> AsyncIterator[Refusal]:
        async with simulated(entries=[connector(1)]) as api:
            owner: Connector = api.world.connectors["conn_1"]
            owner.jobs.append(Job("job_1", "conn_1", START))
            for name, (method, path, body, headers) in REFUSED.items():
                status, answer = await api.ask(method, path, body, headers=headers)
                yield name, status, answer, api.headers

    def assert_worded(self, body: Any, example: Any) -> None:
        assert body["error"] == example["error"]
        SHAPE.assert_alike([body], [example])

    async def likenesses(self) -> AsyncIterator[Likeness]:
        """Below /api/v1 with the meta of the overview."""
        for prefix, meta in (("/v1", {}), ("/api/v1", {"meta": {"requestId": "", "timestamp": ""}})):
            async with simulated() as api:
                _, listed = await api.ask("GET", f"{prefix}/connectors")
                _, one = await api.ask("GET", f"{prefix}/connectors/{listed['data'][0]['id']}")
                _, oauth = await api.ask("GET", f"{prefix}/connectors/oauth/notion/authorize")
                queued, jobs = await followed(api, prefix)
            for case, answers, names in (
                ("list", [listed], LISTS[:3]),
                ("one", [one], SINGLES[1:]),
                ("oauth", [oauth], ["documented/oauth_authorize.response.json"]),
                ("trigger", [queued], ["documented/sync_trigger.response.json"]),
                ("jobs", jobs, [name for name in JOBS if "/sync_status." in name]),
            ):
                yield f"{prefix} {case}", answers, [read(name) | meta for name in names]

    def client(self, url: str) -> ZenSearchClient:
        return ZenSearchClient(configured(url))

    def unwrapped(self, answer: Any) -> Any:
        return unwrapped(answer)

    def connector_called(self, word: str) -> ConnectorFact:
        fact, complaints = mapping.connector(connector(1, status=word))
        assert complaints == []
        return fact

    def job_called(self, word: str) -> JobFact:
        return a_job({"status": word})
