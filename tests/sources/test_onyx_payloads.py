"""Every example payload of Onyx: read by the adapter, and answered alike by the simulator."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest

from connectory.model import (
    AccessType,
    ConnectorFact,
    ConnectorMode,
    ConnectorStatus,
    CountsFact,
    JobFact,
    JobStatus,
    JobType,
    Known,
)
from sources.base import SourceAuthFailed, SourceMismatch, SourceUnreachable
from sources.onyx import mapping
from sources.onyx.client import OnyxClient, PairUnknown
from sources.onyx.simulator.checks import TOKEN
from sources.onyx.source import OnyxSource
from tests.sources.canned import Reply
from tests.sources.cases import cases
from tests.sources.contract import START
from tests.sources.onyx_stage import LIST, ONYX, configured, entries, onyx, pages, pair, read, simulated
from tests.sources.payloads import Likeness, Refusal, Shape, VocabularyContract, examples

FILES = examples(ONYX)
LISTS = [name for name in FILES if name.startswith("indexing_status/") and name.endswith(".response.json")]
LIST_REQUESTS = [name for name in FILES if name.startswith("indexing_status/") and name.endswith(".request.json")]
SHAPE = Shape(free=("connector_specific_config", "credential_json"), optional=("groups[]",))
#: What neither the adapter nor the simulator has a use for yet.
UNUSED = [name for name in FILES if name.startswith(("oauth/", "setup/", "cc_pair/permission_sync_attempts"))]
ATTEMPTS = [name for name in FILES if name.startswith("cc_pair/index_attempts")]


# ---- lists


@cases("name", LISTS)
async def test_lists_are_read_without_a_problem(name: str) -> None:
    sent = entries(name)
    numbers = [entry["cc_pair_id"] for entry in sent if "cc_pair_id" in entry]
    async with onyx(Reply(read(name)), dict.fromkeys(numbers, pages([]))) as (source, _):
        seen = await source.poll(Known())
    assert seen.complete
    assert not seen.problems
    federated = [f"federated:{entry['id']}" for entry in sent if "cc_pair_id" not in entry]
    assert {fact.external_id for fact in seen.connectors} == {*map(str, numbers), *federated}
    for fact in seen.connectors:
        assert fact.status is not ConnectorStatus.UNKNOWN
        assert fact.last_job_status is not JobStatus.UNKNOWN
        assert fact.details is not None
        assert not json.loads(fact.details.json)["extra"]


def test_a_pair_in_full() -> None:
    entry = next(e for e in entries("indexing_status/all_connectors.response.json") if e.get("cc_pair_id") == 17)
    fact = mapping.connector(entry)
    assert fact.details is not None
    details = json.loads(fact.details.json)
    assert fact == ConnectorFact(
        external_id="17",
        name="Sales org",
        source="salesforce",
        status=ConnectorStatus.ACTIVE,
        upstream_status="ACTIVE",
        mode=ConnectorMode.BATCH,
        access_type=AccessType.SYNC,
        in_progress=False,
        in_repeated_error_state=False,
        is_editable=True,
        docs_indexed=88120,
        latest_job_docs_indexed=610,
        last_job_status=JobStatus.SUCCEEDED_WITH_ERRORS,
        last_finished_job_status=JobStatus.SUCCEEDED_WITH_ERRORS,
        last_success_at=datetime(2026, 8, 22, 7, 30, tzinfo=UTC),
        details=fact.details,
    )
    assert fact.details.type == "OnyxConnectorDetails"
    assert details == {
        "cc_pair_id": 17,
        "cc_pair_status": "ACTIVE",
        "last_status": "completed_with_errors",
        "last_finished_status": "completed_with_errors",
        "latest_index_attempt_docs_indexed": 610,
        "permissions": {"edit": True, "delete": True, "publish": True},
        "extra": None,
    }


def test_a_federated_entry_in_full() -> None:
    fact = mapping.connector(read("lists/federated.response.json")[0])
    assert fact.details is not None
    assert fact == ConnectorFact(
        external_id="federated:1",
        name="Federated Slack",
        source="slack",
        status=ConnectorStatus.ACTIVE,
        mode=ConnectorMode.FEDERATED,
        details=fact.details,
    )
    assert fact.details.type == "OnyxFederatedDetails"
    assert json.loads(fact.details.json) == {"federated_id": 1, "federated_source": "federated_slack", "extra": None}


def test_a_pair_of_an_older_server_gets_a_name() -> None:
    facts = [mapping.connector(e) for e in entries("indexing_status/version_2_6_to_2_12_null_name.response.json")]
    assert facts[0].name == "confluence 4"
    assert facts[0].details is not None
    assert json.loads(facts[0].details.json)["permissions"] is None


def test_what_the_mapping_does_not_know_is_kept() -> None:
    fact = mapping.connector(
        pair(1, access_type="guild", cc_pair_status="RESTING", last_status="dreaming", zone="eu", api_token="hush")
    )
    assert fact.status is ConnectorStatus.UNKNOWN
    assert fact.upstream_status == "RESTING"
    assert fact.last_job_status is JobStatus.UNKNOWN
    assert fact.access_type is None
    assert fact.details is not None
    details = json.loads(fact.details.json)
    assert details["last_status"] == "dreaming"
    assert details["extra"] == {"zone": "eu", "access_type": "guild", "api_token": "[redacted]"}


@cases(
    ("field", "value"),
    [
        ("cc_pair_id", "seven"),
        ("cc_pair_id", None),
        ("cc_pair_id", True),
        ("name", 7),
        ("cc_pair_status", None),
        ("in_progress", "yes"),
        ("is_editable", 1),
        ("docs_indexed", -1),
        ("docs_indexed", 2**63),
        ("docs_indexed", 1.5),
        ("latest_index_attempt_docs_indexed", "12"),
        ("last_success", "soon"),
        ("last_status", 3),
        ("permissions", ["edit"]),
    ],
)
def test_a_wrong_value_is_named(field: str, value: object) -> None:
    with pytest.raises(SourceMismatch, match=f"^{field}: "):
        mapping.connector(pair(1, **{field: value}) if field != "cc_pair_id" else {**pair(1), "cc_pair_id": value})


# ---- words


@cases(("word", "access"), [("public", "PUBLIC"), ("private", "PRIVATE"), ("sync", "SYNC")])
def test_access_words(word: str, access: str) -> None:
    assert mapping.connector(pair(1, access_type=word)).access_type is AccessType[access]


@cases(("sent", "kind"), [(True, "FULL"), (False, "INCREMENTAL"), (None, "UNKNOWN")])
def test_what_a_job_sets_out_to_do(sent: bool | None, kind: str) -> None:
    item = {"id": 1, "status": "success", "time_updated": "2026-08-22T09:00:00+00:00", "from_beginning": sent}
    assert mapping.job(item, "1").type is JobType[kind]


def test_the_timeline_of_a_run() -> None:
    seen = []
    for moment in read("run_timeline.json"):
        fact = mapping.connector(moment["status"])
        finished = fact.last_finished_job_status
        seen.append(
            (
                fact.status.name,
                fact.last_job_status and fact.last_job_status.name,
                finished and finished.name,
                fact.in_progress,
                fact.latest_job_docs_indexed,
            )
        )
    assert seen == [
        ("SCHEDULED", None, None, False, None),
        ("SCHEDULED", "PENDING", None, False, 0),
        ("INITIALIZING", "RUNNING", None, True, 0),
        ("INITIALIZING", "RUNNING", None, True, 32),
        ("INITIALIZING", "RUNNING", None, True, 128),
        ("INITIALIZING", "RUNNING", None, True, 200),
        ("ACTIVE", "SUCCEEDED_WITH_ERRORS", "SUCCEEDED_WITH_ERRORS", False, 200),
        ("ACTIVE", "PENDING", "SUCCEEDED_WITH_ERRORS", False, 0),
        ("ACTIVE", "RUNNING", "SUCCEEDED_WITH_ERRORS", True, 0),
        ("ACTIVE", "RUNNING", "SUCCEEDED_WITH_ERRORS", True, 6),
        ("ACTIVE", "SUCCEEDED", "SUCCEEDED", False, 6),
        ("PAUSED", "CANCELED", "CANCELED", False, 0),
        ("DELETING", "CANCELED", "CANCELED", False, 0),
    ]


# ---- attempts


async def test_attempts_are_read_over_two_pages() -> None:
    items = [item for name in ATTEMPTS for item in read(name)["items"]]
    entry = pair(10)
    listed = Reply([{"source": "web", "indexing_statuses": [entry]}])
    async with onyx(listed, {10: pages(items)}) as (source, _):
        seen = await source.poll(Known())
    assert not seen.problems
    assert [(job.external_id, job.status.name) for job in seen.jobs] == [
        ("941", "PENDING"),
        ("938", "SUCCEEDED"),
        ("931", "INTERRUPTED"),
        ("925", "CANCELED"),
        ("919", "FAILED"),
        ("913", "FAILED"),
        ("908", "CANCELED"),
        ("902", "SUCCEEDED_WITH_ERRORS"),
    ]
    for job in seen.jobs:
        assert job.details is not None
        assert json.loads(job.details.json)["extra"] is None


async def test_no_attempts_are_no_jobs() -> None:
    reply = Reply(read("cc_pair/index_attempts.none.response.json"))
    async with onyx(Reply([{"source": "web", "indexing_statuses": [pair(10)]}]), {10: reply}) as (source, _):
        seen = await source.poll(Known())
    assert (seen.jobs, seen.owed, seen.problems) == ((), frozenset(), ())


def test_a_job_in_full() -> None:
    item = read("cc_pair/index_attempts.page_num_1.page_size_4.response.json")["items"][-1]
    job = mapping.job(item, "10")
    assert job.details is not None
    assert job == JobFact(
        external_id="902",
        connector="10",
        status=JobStatus.SUCCEEDED_WITH_ERRORS,
        upstream_status="completed_with_errors",
        type=JobType.FULL,
        counts=CountsFact(indexed=200, added=197, deleted=0, failed=3),
        processed=200,
        started_at=datetime(2026, 8, 21, 15, 30, 0, 333, tzinfo=UTC),
        completed_at=datetime(2026, 8, 21, 15, 50, tzinfo=UTC),
        order_at=datetime(2026, 8, 21, 15, 30, 0, 333, tzinfo=UTC),
        sequence=902,
        details=job.details,
    )
    assert job.details.type == "OnyxJobDetails"
    assert json.loads(job.details.json) == {
        "from_beginning": True,
        "new_docs_indexed": 197,
        "total_docs_indexed": 200,
        "docs_removed_from_index": 0,
        "error_count": 3,
        "full_exception_trace": None,
        "poll_range_start": "1970-01-01T00:00:00+00:00",
        "poll_range_end": "2026-08-21T15:30:00+00:00",
        "time_updated": "2026-08-21T15:50:00+00:00",
        "extra": None,
    }


def test_a_queued_job_has_neither_start_nor_end() -> None:
    job = mapping.job(read("cc_pair/index_attempts.page_num_0.page_size_4.response.json")["items"][0], "10")
    assert (job.started_at, job.completed_at) == (None, None)
    assert job.order_at == datetime(2026, 8, 22, 9, 29, 56, 4, tzinfo=UTC)


def test_what_an_attempt_does_not_tell_is_null() -> None:
    job = mapping.job({"id": 1, "status": "failed", "time_started": "2026-08-22T09:00:00+00:00"}, "1")
    assert job.counts == CountsFact()
    assert (job.processed, job.completed_at, job.error_message) == (None, None, None)


@cases("key", ["error_msg", "full_exception_trace"])
def test_credentials_in_quoted_urls_are_taken_out(key: str) -> None:
    item = {"id": 1, "status": "failed", "time_updated": "2026-08-22T09:00:00+00:00"}
    job = mapping.job({**item, key: "no answer from https://bot:hush@wiki.example.com/a?b=c"}, "1")
    assert "hush" not in repr(job)
    assert "https://wiki.example.com/a?b=c" in repr(job)


def test_an_attempt_without_any_time_is_a_mismatch() -> None:
    with pytest.raises(SourceMismatch, match="time_started"):
        mapping.job({"id": 1, "status": "success"}, "1")


async def test_an_unknown_credential_of_onyx_is_not_ours() -> None:
    for detail, error in (("Credential 5 does not exist", SourceMismatch), ("Unauthorized", SourceAuthFailed)):
        async with onyx(Reply({"detail": detail}, 401)) as (source, _):
            with pytest.raises(error):
                await source.poll(Known())


# ---- the simulator answers alike


@cases("name", LIST_REQUESTS)
async def test_the_simulator_answers_list_requests_as_in_the_examples(name: str) -> None:
    async with simulated(listed="indexing_status/all_connectors.response.json") as api:
        status, body = await api.ask("POST", LIST.removeprefix("/api"), read(name))
    assert status == 200
    expected = read(name.replace(".request.", ".response."))
    assert body == expected
    assert json.dumps(body) == json.dumps(expected)  # keys in the same order


@cases("name", ["group_manager", "version_2_6_to_2_12_null_name", "version_4_4_to_4_6", "all_connectors"])
async def test_a_loaded_world_is_listed_as_it_was_loaded(name: str) -> None:
    listed = f"indexing_status/{name}.response.json"
    async with simulated(listed=listed) as api:
        _, body = await api.ask("POST", LIST.removeprefix("/api"), {"get_all_connectors": True})
    assert body == read(listed)


async def test_the_adapter_reads_a_loaded_world() -> None:
    async with simulated(listed="indexing_status/all_connectors.response.json") as api:
        source = OnyxSource(configured(f"{api.url}/api", token=TOKEN))
        seen = await source.poll(Known())
        await source.close()
    assert {f.external_id: f for f in seen.connectors} == {
        f.external_id: f for f in map(mapping.connector, entries("indexing_status/all_connectors.response.json"))
    }


_LISTED = "/manage/admin/connector/indexing-status"
_PAIR = "/manage/admin/cc-pair/{pair}"
#: GET path → the examples of its answer
READ: dict[str, list[str]] = {
    _PAIR: [name for name in FILES if name.startswith("cc_pair/detail.")],
    f"{_PAIR}/index-attempts": ATTEMPTS,
    f"{_PAIR}/errors": ["cc_pair/errors.response.json"],
    f"{_PAIR}/last_pruned": ["cc_pair/last_pruned.response.json"],
    "/manage/admin/index-attempt/{attempt}/stage-metrics": ["index_attempt/stage_metrics.response.json"],
    "/manage/admin/connector/status": ["lists/connector_status.response.json"],
    "/manage/admin/connector/failed-indexing-status": ["lists/failed_indexing_status.response.json"],
    "/manage/connector-status": ["lists/basic_connector_status.response.json"],
    "/manage/connector": ["lists/connector_list.response.json"],
    "/manage/indexed-sources": ["lists/indexed_sources.response.json"],
    "/federated": ["lists/federated.response.json"],
    "/health": ["health/health.response.json"],
    "/version": ["health/version.response.json"],
}


_RUN_ONCE = "/manage/admin/connector/run-once"
#: method, path, the example of what is sent, and the example of what comes back; ids differ
ACTIONS = [
    ("PUT", f"{_PAIR}/status", "pause", "pause_or_resume"),
    ("PUT", f"{_PAIR}/status", "resume", "pause_or_resume"),
    ("PUT", f"{_PAIR}/property", "property", "property"),
    ("PUT", f"{_PAIR}/name?new_name=Other", None, "rename"),
    ("POST", f"{_PAIR}/prune", None, "prune"),
    ("POST", _RUN_ONCE, "run_once", "run_once"),
    ("POST", "/manage/admin/deletion-attempt", "deletion_attempt", "deletion_attempt"),
]


@cases(("method", "path", "sent", "answered"), ACTIONS)
async def test_actions_are_answered_as_in_the_examples(method: str, path: str, sent: str, answered: str) -> None:
    async with simulated() as api:
        idle = next(p for p in api.world.visible if p.status == "ACTIVE" and p.open_attempt is None)
        body = read(f"actions/{sent}.request.json") if sent else None
        number = idle.credential_id
        ids = {"connector_id": idle.connector_id, "credential_id": number, "credential_ids": [number]}
        for key in ids.keys() & (body or {}).keys():
            body[key] = ids[key]
        status, body = await api.ask(method, path.format(pair=idle.id), body)
    expected = read(f"actions/{answered}.response.json")
    if expected and expected.get("data") == 10:
        expected["data"] = idle.id
    assert (status, body) == (200, expected)


async def test_a_running_pair_is_not_marked() -> None:
    async with simulated() as api:
        busy = next(pair for pair in api.world.visible if pair.open_attempt is not None)
        _, body = await api.ask("POST", _RUN_ONCE, {"connector_id": busy.connector_id})
    assert body == read("actions/run_once.already_running.response.json")


async def test_a_second_pruning_is_refused() -> None:
    example = read("errors/prune_running.json")
    async with simulated() as api:
        path = "/manage/admin/cc-pair/2/prune"
        assert (await api.ask("POST", path))[0] == 200
        assert await api.ask("POST", path) == (example["status"], example["body"])


async def test_a_slash_too_many_is_redirected() -> None:
    example = read("errors/trailing_slash.json")
    async with simulated() as api:
        status, _ = await api.ask("POST", f"{_LISTED}/", {}, headers={})
        location = api.headers["Location"]
    assert status == example["status"]
    assert re.sub(r"https?://[^/]+", "", location) == re.sub(r"https?://[^/]+", "", example["headers"]["location"])


async def test_a_form_that_is_not_valid_is_refused_in_the_shape_of_the_examples() -> None:
    example = read("errors/validation_current.json")
    async with simulated() as api:
        status, body = await api.ask("POST", _LISTED, {"source": "requesttracker"})
    assert status == example["status"]
    SHAPE.assert_alike([body], [example["body"]])
    assert body["status_code"] == 422
    assert "'loc': ('body', 'source')" in body["message"]
    assert "'input': 'requesttracker'" in body["message"]


# ---- what holds for the payloads of every kind

_KEY: dict[str, Any] = {"Authorization": f"Bearer {TOKEN}"}
#: error example → method, path, body, headers that make the simulator answer so
REFUSED: dict[str, tuple[str, str, Any, dict[str, str]]] = {
    "cc_pair_not_visible_attempts": ("GET", "/manage/admin/cc-pair/9999/index-attempts", None, _KEY),
    "cc_pair_not_visible_detail": ("GET", "/manage/admin/cc-pair/9999", None, _KEY),
    "delete_unknown_pair": ("POST", "/manage/admin/deletion-attempt", {"connector_id": 999, "credential_id": 1}, _KEY),
    "insufficient_permissions": ("POST", _LISTED, {}, {"Authorization": "Bearer on_basic"}),
    "limited_service_account": ("POST", _LISTED, {}, {"Authorization": "Bearer on_limited"}),
    "no_credentials": ("POST", _LISTED, {}, {}),
    "unrecognised_bearer": ("POST", _LISTED, {}, {"Authorization": "Bearer whatever"}),
    "run_once_foreign_credential": ("POST", _RUN_ONCE, {"connector_id": 22, "credential_ids": [999]}, _KEY),
    "run_once_unknown_connector": ("POST", _RUN_ONCE, {"connector_id": 9999}, _KEY),
    "status_not_allowed": ("PUT", "/manage/admin/cc-pair/2/status", {"status": "DELETING"}, _KEY),
    "unknown_route": ("GET", "/manage/admin/no-such-thing", None, _KEY),
    "value_error": ("PUT", "/manage/admin/cc-pair/2/property", {"name": "refresh_frequency", "value": "30"}, _KEY),
    "wrong_method": ("GET", _LISTED, None, _KEY),
}


class TestOnyxPayloads(VocabularyContract):
    folder = ONYX
    shape = SHAPE
    errors: ClassVar = {
        PairUnknown: "cc_pair_not_visible_attempts cc_pair_not_visible_attempts_old cc_pair_not_visible_detail"
        " cc_pair_not_visible_detail_old",
        SourceAuthFailed: "insufficient_permissions limited_service_account no_credentials not_curator_or_admin"
        " session_expired unrecognised_bearer",
        SourceMismatch: "delete_unknown_pair prune_running run_once_foreign_credential run_once_unknown_connector"
        " status_not_allowed trailing_slash unknown_route validation_current validation_v2 value_error wrong_method",
        SourceUnreachable: "internal_error subscription_inactive vector_db_disabled",
    }
    odd_bodies: ClassVar = [{"detail": [{"loc": ["body"], "msg": "odd"}]}, {"detail": "x" * 5000}, [1], None, 7]
    refused = REFUSED.keys()
    not_refused: ClassVar = {
        "tests of their own, above": "prune_running trailing_slash validation_current",
        "older servers": "cc_pair_not_visible_attempts_old cc_pair_not_visible_detail_old validation_v2",
        "accounts that are not simulated": "not_curator_or_admin session_expired",
        "faults of a whole server": "internal_error subscription_inactive vector_db_disabled",
    }
    connector_words: ClassVar = {
        "SCHEDULED": ConnectorStatus.SCHEDULED,
        "INITIAL_INDEXING": ConnectorStatus.INITIALIZING,
        "ACTIVE": ConnectorStatus.ACTIVE,
        "PAUSED": ConnectorStatus.PAUSED,
        "INVALID": ConnectorStatus.ERROR,
        "DELETING": ConnectorStatus.DELETING,
        "active": ConnectorStatus.UNKNOWN,
        "": ConnectorStatus.UNKNOWN,
    }
    job_words: ClassVar = {
        "not_started": JobStatus.PENDING,
        "in_progress": JobStatus.RUNNING,
        "success": JobStatus.SUCCEEDED,
        "completed_with_errors": JobStatus.SUCCEEDED_WITH_ERRORS,
        "canceled": JobStatus.CANCELED,
        "interrupted": JobStatus.INTERRUPTED,
        "failed": JobStatus.FAILED,
        "evaporated": JobStatus.UNKNOWN,
    }
    vocabularies = (mapping.CONNECTOR_STATUS, mapping.JOB_STATUS)
    carried: ClassVar = UNUSED
    used: ClassVar = {
        *LISTS,
        *LIST_REQUESTS,
        *(name for names in READ.values() for name in names),
        *(f"actions/{answered}.response.json" for *_, answered in ACTIONS),
        *(name for name in FILES if re.fullmatch(r"actions/[a-z_]+\.request\.json", name)),
        "actions/run_once.already_running.response.json",
        "run_timeline.json",
    }

    @asynccontextmanager
    async def answered(self, reply: Reply, where: str) -> AsyncIterator[OnyxSource]:
        async with onyx(reply) as (source, _):
            yield source

    def pieces(self, name: str, example: Any) -> Iterator[str]:
        body = example["body"] or {}
        return (body.get(key, "")[:60] for key in ("error_code", "detail", "message"))

    async def refusals(self) -> AsyncIterator[Refusal]:
        async with simulated() as api:
            for name, (method, path, body, headers) in REFUSED.items():
                status, answer = await api.ask(method, path, body, headers=headers)
                yield name, status, answer, api.headers

    async def likenesses(self) -> AsyncIterator[Likeness]:
        async with simulated() as api:
            next(iter(api.world.visible)).last_pruned = START
            pairs = [pair.id for pair in api.world.visible]
            attempts = list(api.world.attempts)[-40:]
            for path, names in READ.items():
                answers = []
                for pair_id in pairs if "{pair}" in path else [0]:
                    for run in attempts if "{attempt}" in path else [0]:
                        status, body = await api.ask("GET", path.format(pair=pair_id, attempt=run))
                        assert status == 200
                        answers.append(body)
                yield path, answers, [read(name) for name in names]
            _, listed = await api.ask("POST", _LISTED, {})
        yield _LISTED, listed, read("indexing_status/all_connectors.response.json")

    def client(self, url: str) -> OnyxClient:
        return OnyxClient(configured(f"{url}/api"))

    def connector_called(self, word: str) -> ConnectorFact:
        return mapping.connector(pair(1, cc_pair_status=word))

    def job_called(self, word: str) -> JobFact:
        job = mapping.job({"id": 1, "status": word, "time_updated": "2026-08-22T09:00:00+00:00"}, "1")
        assert (job.completed_at is not None) is job.status.ended
        fact = mapping.connector(pair(1, last_status=word, last_finished_status=word))
        assert (fact.last_job_status, fact.last_finished_job_status) == (job.status, job.status)
        return job
