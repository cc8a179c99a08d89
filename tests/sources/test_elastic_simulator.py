"""The simulated Elasticsearch, asked by the vendor's own client and by hand (elastic.md §1 to §9)."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from copy import deepcopy
from typing import Any

import aiohttp
import pytest
from elasticsearch import (
    AsyncElasticsearch,
    AuthenticationException,
    AuthorizationException,
    BadRequestError,
    NotFoundError,
)

from sources.elastic.simulator.app import simulator
from sources.elastic.simulator.checks import API_KEY, LIMITED_API_KEY, PASSWORD, TOKEN, USERNAME
from sources.elastic.simulator.documents import Document
from sources.elastic.simulator.world import ElasticWorld
from sources.reading import instant
from sources.simulation import WORLD, Clock, Running, serve
from tests.sources.cases import cases, every_case
from tests.sources.contract import START, Hand

# the client warns of each of these routes that the vendor calls it beta: a notice to users, nothing of ours
pytestmark = pytest.mark.filterwarnings("ignore::elasticsearch.exceptions.GeneralAvailabilityWarning")

UPDATED = {"result": "updated"}


class Simulated:
    def __init__(self) -> None:
        self.hand = Hand()
        self.app = simulator(seed=5, clock=Clock(start=START, wall=self.hand))
        world = self.app[WORLD]
        assert isinstance(world, ElasticWorld)
        self.world = world
        self.running: Running = serve(self.app)


@pytest.fixture
async def simulated() -> AsyncIterator[Simulated]:
    simulated = Simulated()
    async with simulated.running:
        yield simulated


@pytest.fixture
async def client(simulated: Simulated) -> AsyncIterator[AsyncElasticsearch]:
    async with AsyncElasticsearch(simulated.running.url, api_key=API_KEY, max_retries=0) as client:
        yield client


async def ask(simulated: Simulated, method: str, path: str, **options: Any) -> tuple[int, Any, dict[str, str]]:
    """Plain JSON with the right key, unless told otherwise: status, body, headers."""
    headers = {"Authorization": f"ApiKey {API_KEY}", **options.pop("headers", {})}
    headers = {name: value for name, value in headers.items() if value is not None}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, simulated.running.url + path, headers=headers, **options) as response,
    ):
        return response.status, await response.json(content_type=None), dict(response.headers)


# ---- connectors


async def test_a_connector_from_its_creation_to_its_end(client: AsyncElasticsearch) -> None:
    made = await client.connector.post(
        description="Nightly copy",
        index_name="search-tickets-2",
        is_native=False,
        language="en",
        name="Tickets",
        service_type="postgresql",
    )
    assert (made.meta.status, made["result"]) == (201, "created")
    identity = made["id"]
    assert len(identity) == 20
    document = await client.connector.get(connector_id=identity)
    assert (document["status"], document["name"], document["language"]) == ("created", "Tickets", "en")
    assert document["last_synced"] is None
    assert not {"last_seen", "last_indexed_document_count", "last_deleted_document_count"} & document.keys()
    again = await client.connector.put(connector_id=identity, index_name="search-tickets-2", name="Tickets 2")
    assert (again.meta.status, again["result"], again["id"]) == (200, "updated", identity)
    own = await client.connector.put(connector_id="mine", is_native=True)
    assert (own.meta.status, own["id"]) == (201, "mine")
    assert (await client.connector.get(connector_id="mine"))["status"] == "needs_configuration"
    assert (await client.connector.put())["result"] == "created"
    assert await client.connector.delete(connector_id=identity) == {"acknowledged": True}
    with pytest.raises(NotFoundError, match=rf"connector \[{identity}\] not found"):
        await client.connector.get(connector_id=identity)
    hidden = await client.connector.get(connector_id=identity, include_deleted=True)
    assert hidden["deleted"] is True


async def test_lists_are_sorted_paged_and_filtered(client: AsyncElasticsearch, simulated: Simulated) -> None:
    everything = (await client.connector.list(size=1_000)).body
    names = [document["index_name"] for document in everything["results"]]
    attached = [name for name in names if name is not None]
    assert names == sorted(attached) + [None] * (len(names) - len(attached))
    assert None in names
    assert everything["count"] == len(names) == 24
    page = await client.connector.list(from_=20, size=10)
    assert page["results"] == everything["results"][20:]
    assert (await client.connector.list(size=0)).body == {"count": 24, "results": []}
    two = sorted(attached)[:2]
    assert (await client.connector.list(index_name=two))["count"] == 2
    assert {c["service_type"] for c in (await client.connector.list(service_type=["s3", "mysql"]))["results"]} == {
        "s3",
        "mysql",
    }
    assert (await client.connector.list(connector_name="Data lake"))["count"] == 1
    assert (await client.connector.list(query="orders"))["count"] == 4
    assert (await client.connector.list(include_deleted=True))["count"] == 25


async def test_deleting_with_jobs_and_for_good(client: AsyncElasticsearch, simulated: Simulated) -> None:
    first, second = (c["id"] for c in (await client.connector.list(service_type="confluence", size=2))["results"])
    assert (await client.connector.sync_job_list(connector_id=first))["count"] > 0
    await client.connector.delete(connector_id=first)
    assert (await client.connector.sync_job_list(connector_id=first))["count"] > 0
    await client.connector.delete(connector_id=first, hard=True)
    with pytest.raises(NotFoundError):
        await client.connector.get(connector_id=first, include_deleted=True)
    await client.connector.delete(connector_id=second, delete_sync_jobs=True)
    assert (await client.connector.sync_job_list(connector_id=second))["count"] == 0
    assert all(job["connector"]["id"] != second for job in simulated.world.jobs.values())


Update = Callable[[AsyncElasticsearch, str], Awaitable[Any]]
RULE = {"field": "size", "id": "r1", "order": 0, "policy": "exclude", "rule": ">", "value": "9"}
PIPELINE = {"extract_binary_content": False, "name": "mine", "reduce_whitespace": False, "run_ml_inference": True}
#: what the client is asked to do → what the document then says
UPDATES: dict[str, tuple[Update, Document]] = {
    "error": (lambda c, i: c.connector.update_error(connector_id=i, error="No"), {"error": "No", "status": "error"}),
    "status": (lambda c, i: c.connector.update_status(connector_id=i, status="configured"), {"status": "configured"}),
    "name": (
        lambda c, i: c.connector.update_name(connector_id=i, name="N", description="D"),
        {"name": "N", "description": "D"},
    ),
    "index_name": (lambda c, i: c.connector.update_index_name(connector_id=i, index_name="x"), {"index_name": "x"}),
    "service_type": (
        lambda c, i: c.connector.update_service_type(connector_id=i, service_type="s3"),
        {"service_type": "s3", "status": "needs_configuration"},
    ),
    "native": (
        lambda c, i: c.connector.update_native(connector_id=i, is_native=True),
        {"is_native": True, "status": "configured"},
    ),
    "pipeline": (lambda c, i: c.connector.update_pipeline(connector_id=i, pipeline=PIPELINE), {"pipeline": PIPELINE}),
    "features": (
        lambda c, i: c.connector.update_features(connector_id=i, features={"incremental_sync": {"enabled": False}}),
        {"features": {"incremental_sync": {"enabled": False}}},
    ),
    "api_key_id": (
        lambda c, i: c.connector.update_api_key_id(connector_id=i, api_key_id="k", api_key_secret_id="s"),
        {"api_key_id": "k", "api_key_secret_id": "s"},
    ),
    "last_sync": (
        lambda c, i: c.connector.last_sync(
            connector_id=i, last_sync_status="canceled", last_indexed_document_count=7, sync_cursor={"page": 3}
        ),
        {"last_sync_status": "canceled", "last_indexed_document_count": 7, "sync_cursor": {"page": 3}},
    ),
    "configuration": (
        lambda c, i: c.connector.update_configuration(
            connector_id=i, configuration={"a": {"default_value": None, "label": "A", "value": 1}}
        ),
        {"configuration": {"a": {"default_value": None, "label": "A", "value": 1}}, "status": "configured"},
    ),
    "check_in": (lambda c, i: c.connector.check_in(connector_id=i), {"last_seen": "2026-08-22T09:30:00Z"}),
}


async def test_an_update_is_kept(client: AsyncElasticsearch, simulated: Simulated) -> None:
    lake = find(simulated, "Data lake")
    before, identity = deepcopy(lake), lake["id"]
    with every_case() as case:
        for name, (change, expected) in UPDATES.items():
            lake.clear()
            lake.update(deepcopy(before))
            with case(name):
                assert (await change(client, identity)).body == UPDATED
                document = (await client.connector.get(connector_id=identity)).body
                assert {key: document[key] for key in expected} == expected


def find(simulated: Simulated, name: str) -> Document:
    return next(document for document in simulated.world.connectors.values() if document["name"] == name)


async def test_an_update_without_a_change_is_a_noop(client: AsyncElasticsearch, simulated: Simulated) -> None:
    lake = find(simulated, "Data lake")
    assert await client.connector.update_name(connector_id=lake["id"], name="Data lake") == {"result": "noop"}


async def test_parts_left_out_stay(client: AsyncElasticsearch, simulated: Simulated) -> None:
    lake = find(simulated, "Data lake")
    before = lake["scheduling"]
    wanted = {"full": {"enabled": True, "interval": "0 15 2 * * ?"}}
    await client.connector.update_scheduling(connector_id=lake["id"], scheduling=wanted)
    assert lake["scheduling"] == {**before, **wanted}
    await client.connector.update_configuration(connector_id=lake["id"], values={"buckets": ["one"]})
    assert lake["configuration"]["buckets"]["value"] == ["one"]
    assert lake["configuration"]["aws_secret_access_key"]["sensitive"] is True
    other = find(simulated, "Reports bucket")
    assert other["configuration"]["buckets"]["value"] != ["one"]


async def test_an_error_comes_and_goes(client: AsyncElasticsearch, simulated: Simulated) -> None:
    lake = find(simulated, "Data lake")
    await client.connector.update_error(connector_id=lake["id"], error="Host unreachable")
    status, body, _ = await ask(simulated, "PUT", f"/_connector/{lake['id']}/_error", json={"error": None})
    assert (status, body, lake["status"], lake["error"]) == (200, UPDATED, "connected", None)


async def test_filtering_is_drafted_validated_and_activated(client: AsyncElasticsearch, simulated: Simulated) -> None:
    lake = find(simulated, "Data lake")
    await client.connector.update_filtering(connector_id=lake["id"], rules=[RULE])
    assert lake["filtering"][0]["draft"]["rules"] == [RULE]
    with pytest.raises(BadRequestError, match="edited"):
        await client.connector.update_active_filtering(connector_id=lake["id"])
    validation = {"errors": [], "state": "valid"}
    await client.connector.update_filtering_validation(connector_id=lake["id"], validation=validation)
    assert (await client.connector.update_active_filtering(connector_id=lake["id"])).body == UPDATED
    assert lake["filtering"][0]["active"]["rules"] == [RULE]
    assert find(simulated, "Orders database")["filtering"][0]["active"]["rules"] != [RULE]


async def test_forbidden_connector_transitions(client: AsyncElasticsearch, simulated: Simulated) -> None:
    lake = find(simulated, "Data lake")
    with pytest.raises(BadRequestError, match=r"from \[connected\] to \[created\]") as caught:
        await client.connector.update_status(connector_id=lake["id"], status="created")
    assert caught.value.error == "status_exception"
    with pytest.raises(BadRequestError, match="Unknown ConnectorStatus"):
        await client.connector.update_status(connector_id=lake["id"], status="happy")


async def test_an_index_serves_one_connector(client: AsyncElasticsearch, simulated: Simulated) -> None:
    with pytest.raises(BadRequestError, match="is used by another connector"):
        await client.connector.post(index_name=find(simulated, "Data lake")["index_name"])
    with pytest.raises(BadRequestError, match="content-"):
        await client.connector.post(index_name="search-x", is_native=True)


# ---- sync jobs


async def make(client: AsyncElasticsearch, simulated: Simulated) -> tuple[str, Document]:
    """A job of a connector that the simulated worker leaves alone."""
    identity = find(simulated, "Tickets")["id"]
    made = await client.connector.sync_job_post(id=identity)
    assert made.meta.status == 201
    return made["id"], simulated.world.jobs[made["id"]]


async def test_a_job_by_hand(client: AsyncElasticsearch, simulated: Simulated) -> None:
    identity, job = await make(client, simulated)
    document = (await client.connector.sync_job_get(connector_sync_job_id=identity)).body
    assert document == job
    assert (document["status"], document["job_type"], document["trigger_method"]) == ("pending", "full", "on_demand")
    assert document["created_at"] == document["last_seen"]
    assert not {"started_at", "worker_hostname", "completed_at"} & document.keys()
    simulated.hand.move(5)
    claimed = await client.connector.sync_job_claim(
        connector_sync_job_id=identity, worker_hostname="me", sync_cursor={"page": 3}
    )
    assert claimed.body == UPDATED
    assert (job["status"], job["worker_hostname"]) == ("in_progress", "me")
    assert job["started_at"] == job["last_seen"] == "2026-08-22T09:30:05Z"
    assert job["connector"]["sync_cursor"] == {"page": 3}
    await client.connector.sync_job_update_stats(
        connector_sync_job_id=identity,
        deleted_document_count=1,
        indexed_document_count=2_150,
        indexed_document_volume=48,
        metadata={"node": "eu-1"},
        total_document_count=6_120,
    )
    assert (job["indexed_document_count"], job["total_document_count"]) == (2_150, 6_120)
    simulated.hand.move(5)
    await client.connector.sync_job_check_in(connector_sync_job_id=identity)
    assert job["last_seen"] == "2026-08-22T09:30:10Z"
    await client.connector.sync_job_error(connector_sync_job_id=identity, error="source went away")
    assert (job["status"], job["error"]) == ("error", "source went away")
    assert "completed_at" not in job
    assert await client.connector.sync_job_delete(connector_sync_job_id=identity) == {"acknowledged": True}
    with pytest.raises(NotFoundError):
        await client.connector.sync_job_get(connector_sync_job_id=identity)


async def test_cancel_before_and_after_a_claim(client: AsyncElasticsearch, simulated: Simulated) -> None:
    identity, job = await make(client, simulated)
    assert await client.connector.sync_job_cancel(connector_sync_job_id=identity) == UPDATED
    assert job["status"] == "canceled"
    assert job["cancelation_requested_at"] == job["canceled_at"] == job["completed_at"]
    identity, job = await make(client, simulated)
    await client.connector.sync_job_claim(connector_sync_job_id=identity, worker_hostname="me")
    await client.connector.sync_job_cancel(connector_sync_job_id=identity)
    assert job["status"] == "canceling"
    assert "canceled_at" not in job
    with pytest.raises(BadRequestError, match=r"from \[canceling\] to \[canceling\]"):
        await client.connector.sync_job_cancel(connector_sync_job_id=identity)


async def test_job_lists_are_newest_first_and_filtered(client: AsyncElasticsearch, simulated: Simulated) -> None:
    simulated.hand.move(60)
    everything = (await client.connector.sync_job_list(size=1_000)).body
    created = [instant(job["created_at"]) or START for job in everything["results"]]
    assert created == sorted(created, reverse=True)
    assert everything["count"] == len(created) == len(simulated.world.jobs)
    page = await client.connector.sync_job_list(from_=100, size=1_000)
    assert page["results"] == everything["results"][100:]
    running = await client.connector.sync_job_list(status="in_progress")
    assert {job["status"] for job in running["results"]} == {"in_progress"}
    one = find(simulated, "Engineering GitHub")["id"]
    some = await client.connector.sync_job_list(connector_id=one, job_type=["access_control", "incremental"])
    assert {(job["connector"]["id"], job["job_type"]) for job in some["results"]} == {(one, "access_control")}
    assert some["results"][0]["connector"]["index_name"] == ".search-acl-filter-search-engineering-github"
    latest = await client.connector.sync_job_list(connector_id=one, size=1)
    assert instant(latest["results"][0]["created_at"]) == max(
        instant(job["created_at"]) or START for job in simulated.world.jobs.values() if job["connector"]["id"] == one
    )


async def test_syncs_that_cannot_start(client: AsyncElasticsearch, simulated: Simulated) -> None:
    with pytest.raises(NotFoundError, match="Connector with id 'nope' does not exist"):
        await client.connector.sync_job_post(id="nope")
    with pytest.raises(BadRequestError, match="no index attached"):
        await client.connector.sync_job_post(id=find(simulated, "Wiki (not set up)")["id"])
    with pytest.raises(BadRequestError, match=r"Unknown ConnectorSyncJobType \[everything\]"):
        await client.connector.sync_job_post(id=find(simulated, "Data lake")["id"], job_type="everything")


async def test_a_triggered_sync_runs_to_its_end(client: AsyncElasticsearch, simulated: Simulated) -> None:
    connector = await client.connector.put(connector_id="mine", index_name="search-mine", service_type="s3")
    job = simulated.world.jobs[(await client.connector.sync_job_post(id=connector["id"]))["id"]]
    seen = []
    for _ in range(60):
        simulated.hand.move(4)
        await client.connector.sync_job_get(connector_sync_job_id=job["id"])
        seen.append((job["status"], job["indexed_document_count"]))
    assert list(dict.fromkeys(status for status, _ in seen)) == ["pending", "in_progress", "completed"]
    assert [number for _, number in seen] == sorted(number for _, number in seen)
    assert len({number for _, number in seen}) > 5
    assert simulated.world.connectors["mine"]["last_sync_status"] == "completed"
    assert job["completed_at"] == simulated.world.connectors["mine"]["last_synced"]


# ---- the door


@cases("credentials", [{"basic_auth": (USERNAME, PASSWORD)}, {"bearer_auth": TOKEN}, {"api_key": API_KEY}])
async def test_three_ways_in(simulated: Simulated, credentials: dict[str, Any]) -> None:
    async with AsyncElasticsearch(simulated.running.url, **credentials) as client:
        assert (await client.info())["version"]["number"] == "9.1.2"
        assert await client.ping()


@cases(
    ("credentials", "error"),
    [
        ({}, AuthenticationException),
        ({"api_key": "bm90OmtleQ=="}, AuthenticationException),
        ({"bearer_auth": API_KEY}, AuthenticationException),
        ({"basic_auth": ("elastic", "wrong")}, AuthenticationException),
        ({"api_key": LIMITED_API_KEY}, AuthorizationException),
    ],
)
async def test_who_is_kept_out(simulated: Simulated, credentials: dict[str, Any], error: type[Exception]) -> None:
    async with AsyncElasticsearch(simulated.running.url, max_retries=0, **credentials) as client:
        with pytest.raises(error):
            await client.connector.list()


async def test_a_challenge_names_the_ways_in(simulated: Simulated) -> None:
    status, body, headers = await ask(simulated, "GET", "/_connector", headers={"Authorization": None})
    assert status == 401
    assert "ApiKey" in headers["WWW-Authenticate"]
    assert body["error"]["header"]["WWW-Authenticate"][0].startswith("Basic")


@cases(
    ("accept", "status", "content_type"),
    [
        ("*/*", 200, "application/json"),
        ("application/json", 200, "application/json"),
        (
            "application/vnd.elasticsearch+json; compatible-with=9",
            200,
            "application/vnd.elasticsearch+json;compatible-with=9",
        ),
        (
            "application/vnd.elasticsearch+json; compatible-with=8",
            200,
            "application/vnd.elasticsearch+json;compatible-with=8",
        ),
        ("application/vnd.elasticsearch+json; compatible-with=7", 400, "application/json"),
    ],
)
async def test_media_types(simulated: Simulated, accept: str, status: int, content_type: str) -> None:
    got, body, headers = await ask(simulated, "GET", "/", headers={"Accept": accept, "X-Opaque-Id": "me"})
    assert (got, headers["X-Elastic-Product"], headers["X-Opaque-Id"]) == (status, "Elasticsearch", "me")
    assert headers["Content-Type"].replace("; charset=utf-8", "") == content_type
    if status == 400:
        assert body["error"]["type"] == "media_type_header_exception"


@cases(
    ("path", "kind", "reason"),
    [
        ("/_connector?page=1", "illegal_argument_exception", "contains unrecognized parameter: [page]"),
        ("/_connector?from=-1", "illegal_argument_exception", "Parameter [from] cannot be < 0"),
        ("/_connector?size=-1", "illegal_argument_exception", "Parameter [size] cannot be < 0"),
        ("/_connector?size=many", "illegal_argument_exception", "Failed to parse int parameter [size]"),
        ("/_connector?include_deleted=maybe", "illegal_argument_exception", "only [true] or [false]"),
        ("/_connector/_sync_job?status=pending,error", "illegal_argument_exception", "Unknown ConnectorSyncStatus"),
        ("/_connector/_sync_job?job_type=all", "illegal_argument_exception", "Unknown ConnectorSyncJobType [all]"),
        ("/_connector/_sync_job?from=9950", "search_phase_execution_exception", "all shards failed"),
        ("/_connector/x?size=3", "illegal_argument_exception", "unrecognized parameter: [size]"),
    ],
)
async def test_bad_queries(simulated: Simulated, path: str, kind: str, reason: str) -> None:
    status, body, _ = await ask(simulated, "GET", path)
    assert (status, body["status"], body["error"]["type"]) == (400, 400, kind)
    assert reason in body["error"]["reason"]


async def test_the_end_of_the_window_is_still_inside(simulated: Simulated) -> None:
    status, body, _ = await ask(simulated, "GET", "/_connector?from=9900&size=100")
    assert (status, body["count"], body["results"]) == (200, 24, [])


@cases(
    ("method", "path", "status", "words"),
    [
        ("GET", "/_connectors", 400, "no handler found for uri [/_connectors] and method [GET]"),
        ("GET", "/_connector/a/_nothing", 400, "no handler found"),
        ("PATCH", "/_connector", 405, "allowed: [GET, POST, PUT]"),
        ("DELETE", "/_connector/_sync_job", 405, "allowed: [GET, POST]"),
    ],
)
async def test_refusals_whose_error_is_a_string(
    simulated: Simulated, method: str, path: str, status: int, words: str
) -> None:
    got, body, headers = await ask(simulated, method, path)
    assert got == status
    assert words in body["error"]
    assert ("Allow" in headers) is (status == 405)


@cases(
    ("sent", "content_type", "status", "kind"),
    [
        ('{"name": "x"}', "text/plain", 406, None),
        ('{"name": ', "application/json", 400, "x_content_parse_exception"),
        ('["name"]', "application/json", 400, "x_content_parse_exception"),
        ('{"title": "x"}', "application/json", 400, "x_content_parse_exception"),
        ('{"index_name": 7}', "application/json", 400, "x_content_parse_exception"),
        ('{"name": "x"}', "application/json", 201, None),
    ],
)
async def test_bodies(simulated: Simulated, sent: str, content_type: str, status: int, kind: str | None) -> None:
    got, body, _ = await ask(simulated, "POST", "/_connector", data=sent, headers={"Content-Type": content_type})
    assert got == status
    if kind:
        assert body["error"]["type"] == kind


@cases("scheduling", [None, 7, {"full": None}, {"full": {"enabled": True}}])
async def test_a_schedule_that_is_none_is_refused(simulated: Simulated, scheduling: Any) -> None:
    path = f"/_connector/{find(simulated, 'Data lake')['id']}/_scheduling"
    status, _, _ = await ask(simulated, "PUT", path, json={"scheduling": scheduling})
    assert status == 400


async def test_the_world_goes_on_when_an_index_is_taken_away(simulated: Simulated) -> None:
    for connector in list(simulated.world.connectors.values()):
        if not connector["deleted"]:
            path = f"/_connector/{connector['id']}/_index_name"
            assert (await ask(simulated, "PUT", path, json={"index_name": None}))[0] == 200
    for _ in range(20):
        simulated.hand.move(60)
        assert (await ask(simulated, "GET", "/_connector"))[0] == 200


async def test_required_values_are_asked_for(simulated: Simulated) -> None:
    identity, _ = next(iter(simulated.world.jobs.items()))
    for path in ("_claim", "_error", "_stats"):
        status, body, _ = await ask(simulated, "PUT", f"/_connector/_sync_job/{identity}/{path}", json={})
        assert (status, body["error"]["type"]) == (400, "action_request_validation_exception")
    status, body, _ = await ask(simulated, "POST", "/_connector/_sync_job", json={})
    assert body["error"]["reason"] == "Validation Failed: 1: [id] of the connector cannot be null or empty.;"


async def test_filter_path_and_pretty(simulated: Simulated) -> None:
    status, body, _ = await ask(simulated, "GET", "/_connector?filter_path=count,results.id&pretty&size=2")
    assert status == 200
    assert body["count"] == 24
    assert [set(entry) for entry in body["results"]] == [{"id"}, {"id"}]


@pytest.mark.parametrize(("pretty", "style"), [("&pretty", {"indent": 2}), ("", {"separators": (",", ":")})])
async def test_pretty_is_for_people(simulated: Simulated, pretty: str, style: dict[str, Any]) -> None:
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"ApiKey {API_KEY}"}) as session,
        session.get(f"{simulated.running.url}/_connector?filter_path=count,results.id{pretty}") as response,
    ):
        text = await response.text()
    assert text == json.dumps(json.loads(text), **style)


async def test_the_world_moves_and_loses_no_order(simulated: Simulated) -> None:
    moved = 0
    for _ in range(60):
        before = snapshot_of(simulated)
        simulated.hand.move(2)
        await ask(simulated, "GET", "/_connector?size=0")
        moved += before != snapshot_of(simulated)
    assert moved > 45
    assert any(document["deleted"] for document in simulated.world.connectors.values())


def snapshot_of(simulated: Simulated) -> list[tuple[str, str, int]]:
    return [(job["id"], job["status"], job["indexed_document_count"]) for job in simulated.world.jobs.values()]


async def test_connectors_come_and_go_by_themselves(simulated: Simulated, client: AsyncElasticsearch) -> None:
    before = {document["id"] for document in (await client.connector.list(size=100))["results"]}
    simulated.hand.move(200)
    after = {document["id"] for document in (await client.connector.list(size=100))["results"]}
    assert len(after - before) == 1
    assert len(before - after) == 1
    (gone,) = before - after
    assert (await client.connector.sync_job_list(connector_id=gone))["count"] > 0


async def test_without_a_worker_nothing_is_repaired(simulated: Simulated, client: AsyncElasticsearch) -> None:
    stuck, waiting = find(simulated, "Old file share"), find(simulated, "Tickets")
    simulated.hand.move(3_600)
    for connector, status in ((stuck, "in_progress"), (waiting, "pending")):
        job = (await client.connector.sync_job_list(connector_id=connector["id"], size=1))["results"][0]
        assert job["status"] == status
        assert connector["last_seen"] < "2026-08-22T09:10"


async def test_a_fresh_connector_grows_up(simulated: Simulated, client: AsyncElasticsearch) -> None:
    fresh, seen = find(simulated, "New Jira"), []
    for _ in range(60):
        seen.append(fresh["status"])
        simulated.hand.move(2)
        await client.connector.get(connector_id=fresh["id"])
    order = ["created", "needs_configuration", "configured", "error", "connected"]
    assert list(dict.fromkeys(seen)) == order


async def test_a_large_world_stands_still_when_told() -> None:
    hand = Hand()
    app = simulator(clock=Clock(start=START, wall=hand), connectors=300, jobs_per_connector=3, busy=0)
    world = app[WORLD]
    assert isinstance(world, ElasticWorld)
    before = {job["id"]: dict(job) for job in world.jobs.values()}
    world.advance(Clock(start=START, wall=lambda: 3_600.0, speed=1.0).now())
    assert {job["id"]: dict(job) for job in world.jobs.values()} == before
    assert len(world.connector_list()) == 300
