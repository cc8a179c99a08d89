"""The simulated Feldera: the vendor's own client against it, its checks, and how its world moves."""

import asyncio
import importlib.util
import json
import os
import sys
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connectory.model import ConnectorStatus, Known
from sources.feldera.simulator.checks import READER_TOKEN, TOKEN
from sources.feldera.simulator.counters import input_status, stats
from sources.feldera.simulator.deployment import Pipeline
from sources.feldera.simulator.endpoints import KEPT_ERRORS, Endpoint, Profile
from sources.feldera.simulator.population import populate
from sources.feldera.simulator.views import pipeline
from sources.feldera.simulator.world import FelderaWorld
from sources.feldera.source import FelderaSource
from tests.missing import missing
from tests.sources.cases import cases
from tests.sources.contract import START
from tests.sources.feldera_stage import LIST, Api, configured, simulated

KAFKA = f"{LIST}/orders/tables/orders/connectors/kafka_orders"


def a_world(seed: int = 3) -> FelderaWorld:
    world = FelderaWorld(seed=seed, start=START)
    populate(world)
    return world


def lone(*endpoints: Endpoint, **values: Any) -> tuple[FelderaWorld, Pipeline]:
    """A world with one stopped pipeline."""
    world = FelderaWorld(seed=1, start=START)
    return world, world.add("lone", endpoints=list(endpoints), **values)


def bounded() -> Endpoint:
    """Its source gives more in a second than the circuit takes."""
    return Endpoint("customers", "unnamed-0", True, "url_input", profile=Profile((90, 140), size=600))


def run(world: FelderaWorld, seconds: float) -> None:
    world.advance(world.now + timedelta(seconds=seconds))


def run_until(world: FelderaWorld, condition: Callable[[], object], *, step: float = 1, limit: float = 3000) -> None:
    """Let time pass until ``condition`` holds; fails after ``limit`` simulated seconds."""
    deadline = world.now + timedelta(seconds=limit)
    while not condition():
        assert world.now < deadline
        run(world, step)


# ---- the vendor's client


@pytest.fixture
def client() -> None:
    """For what cannot be tested without the vendor's client."""
    if importlib.util.find_spec("feldera") is None:
        missing("Feldera client", "make setup brings it into .venv")


async def official(url: str, key: str) -> dict[str, Any]:
    program = Path(__file__).with_name("feldera_official.py")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(program),
        url,
        key,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ.get("PATH", ""), "NO_PROXY": "*"},
    )
    try:
        output, trouble = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, trouble.decode()[-3000:]
    told: dict[str, Any] = json.loads(output)
    return told


@pytest.mark.usefixtures("client")
async def test_the_vendors_client_understands_it() -> None:
    async with simulated() as api:
        api.pass_time(30)
        listed = {entry["name"]: entry["deployment_status"] for entry in await api.get(f"{LIST}?selector=status")}
        shown = await api.get(f"{LIST}/orders/stats")
        kafka = await api.get(f"{KAFKA}/stats")
        said = await official(api.url, TOKEN)
        posted = [request for request in api.requests if request.startswith("POST")]
    assert posted == [f"POST {KAFKA}/pause", f"POST {KAFKA}/start"]
    assert said["pipelines"] == listed
    assert said["whole"]["orders"] == ["input_connectors", "output_connectors", "schema", "udf_stubs"]
    assert said["whole"]["draft"] == []
    assert said["state"].lower().endswith("running")
    assert said["endpoints"] == {one["endpoint_name"]: one["metrics"] for one in (*shown["inputs"], *shown["outputs"])}
    assert said["paused"] == [True, False]
    assert said["errors"] == [error["message"] for error in kafka["parse_errors"]]
    assert said["errors"]
    assert said["sent"] == shown["outputs"][0]["metrics"]["transmitted_records"]
    assert said["token"]
    assert said["quoted"] == "Sales.Items.csv_2024"
    assert said["stopped"] == {"status": 503, "code": "PipelineInteractionNotDeployed"}
    assert said["unknown"] == {"status": 404, "code": "UnknownInputEndpoint"}
    assert said["refused"] == {"status": 401, "code": "AuthenticationFailed"}


# ---- credentials and the order of checks


@cases(
    ("headers", "status"),
    [
        ({"Authorization": f"Bearer {TOKEN}"}, 200),
        ({"Authorization": f"Bearer {READER_TOKEN}"}, 200),
        ({"Authorization": f"Bearer {TOKEN.removeprefix('apikey:')}"}, 401),  # the prefix belongs to the key
        ({"Authorization": "Bearer eyJ.a.b"}, 401),
        ({"Authorization": "Basic abc"}, 401),
        ({}, 401),
    ],
)
async def test_forms_of_credentials(headers: dict[str, str], status: int) -> None:
    async with simulated() as api:
        assert (await api.ask("GET", LIST, headers=headers))[0] == status
        if status == 401:
            assert api.headers["WWW-Authenticate"].startswith("Bearer ")


def test_keys_have_the_form_of_keys() -> None:
    for key in (TOKEN, READER_TOKEN):
        prefix, _, secret = key.partition(":")
        assert (prefix, len(secret), secret.isalnum()) == ("apikey", 128, True)


@cases("path", ["/healthz", "/config/authentication"])
async def test_public_paths_need_no_credentials(path: str) -> None:
    async with simulated() as api:
        assert (await api.ask("GET", path, headers={}))[0] == 200


async def test_without_authentication_any_header_is_ignored() -> None:
    async with simulated(authenticated=False) as api:
        for headers in ({}, {"Authorization": "Bearer nonsense"}):
            assert (await api.ask("GET", LIST, headers=headers))[0] == 200
            assert (await api.ask("POST", f"{KAFKA}/pause", headers=headers))[0] == 200


async def test_what_is_checked_first() -> None:
    """Authentication, action word, pipeline, deployed, reachable, endpoint (feldera.md §9)."""
    async with simulated() as api:
        lost, archive = (f"{LIST}/{name}/tables/t/connectors/c" for name in ("nope", "archive"))
        codes = [
            (await api.ask("POST", f"{lost}/restart", headers={}))[0],
            (await api.ask("POST", f"{lost}/restart"))[1]["error_code"],
            (await api.ask("POST", f"{lost}/pause"))[1]["error_code"],
            (await api.ask("POST", f"{archive}/pause"))[1]["error_code"],
        ]
        api.world.pipelines["orders"].runtime = "Unavailable"
        codes.append((await api.ask("POST", f"{LIST}/orders/tables/t/connectors/c/pause"))[1]["error_code"])
        api.world.pipelines["orders"].runtime = "Running"
        codes.append((await api.ask("POST", f"{LIST}/orders/tables/t/connectors/c/pause"))[1]["error_code"])
    assert codes == [
        401,
        "InvalidConnectorAction",
        "UnknownPipelineName",
        "PipelineInteractionNotDeployed",
        "PipelineUnavailable",
        "UnknownInputEndpoint",
    ]


@cases(
    ("table", "connector", "status"),
    [
        ("orders", "kafka_orders", 200),
        ("ORDERS", "kafka_orders", 200),
        ("%22orders%22", "kafka_orders", 200),
        ("%22ORDERS%22", "kafka_orders", 404),
        ("orders", "KAFKA_ORDERS", 404),
        ("order_totals", "kafka_out", 404),  # a view
    ],
)
async def test_identifiers_are_those_of_sql(table: str, connector: str, status: int) -> None:
    async with simulated() as api:
        path = f"{LIST}/orders/tables/{table}/connectors/{connector}/stats"
        assert (await api.ask("GET", path))[0] == status


async def test_selectors() -> None:
    async with simulated() as api:
        default, whole = await api.get(f"{LIST}/orders"), await api.get(f"{LIST}/orders?selector=all")
        status = await api.get(f"{LIST}/orders?selector=status")
        counted = await api.get(f"{LIST}/orders?selector=status_with_connectors")
        assert (await api.ask("GET", f"{LIST}?selector=some"))[0] == 400
        assert "program_code" not in status
        assert counted.keys() - status.keys() == {"connectors"}
        assert default == whole
        ids = [entry["id"] for entry in await api.get(f"{LIST}?selector=status")]
    assert ids == sorted(ids)


# ---- the world


def test_the_world_opens_with_every_status_and_many_sources() -> None:
    world = a_world()
    words = {p.status for p in world.pipelines.values()}
    assert words >= {"Running", "Paused", "Stopped", "Provisioning"}
    endpoints = [e for p in world.pipelines.values() for e in p.endpoints if not e.ad_hoc]
    assert 10 <= len(endpoints) <= 18
    assert len({e.transport for e in endpoints}) >= 12
    assert any(e.fatal for e in endpoints)
    assert any(e.ended for e in endpoints)
    assert any(e.paused for e in endpoints)
    assert any(e.record_texts for e in endpoints)


async def test_the_adapter_sees_every_status_in_a_while() -> None:
    async with simulated() as api:
        source = FelderaSource(configured(api.url, token=TOKEN))
        jobs, connectors, sources = set(), set(), set()
        for _ in range(40):
            seen = await source.poll(Known())
            assert seen.complete
            jobs |= {job.status.name for job in seen.jobs}
            connectors |= {fact.status for fact in seen.connectors}
            sources |= {fact.source for fact in seen.connectors}
            api.pass_time(15)
        await source.close()
    assert jobs == {"RUNNING", "SUSPENDED", "SUCCEEDED", "SUCCEEDED_WITH_ERRORS", "FAILED"}
    assert connectors == {ConnectorStatus[name] for name in ("SCHEDULED", "ACTIVE", "PAUSED", "INACTIVE", "ERROR")}
    assert len(sources) >= 14
    assert "unknown" not in sources


def test_something_is_seen_to_move_every_couple_of_seconds() -> None:
    world, before, still, longest = a_world(), "", 0, 0
    for _ in range(600):
        run(world, 1)
        now = json.dumps([input_status(e) for p in world.pipelines.values() if p.is_serving for e in p.inputs])
        still = 0 if now != before else still + 1
        longest, before = max(longest, still), now
    assert longest <= 2


def test_everything_happens_within_half_an_hour() -> None:
    world, words, notes = a_world(), defaultdict(set), set()
    incarnations = defaultdict(set)
    for _ in range(1800):
        run(world, 1)
        for name, one in world.pipelines.items():
            words[name].add(one.status)
            if one.incarnation:
                incarnations[name].add(one.incarnation)
            notes |= {"failed"} if one.error else set()
            for endpoint in one.endpoints if one.is_serving else ():
                notes |= {"visited"} if endpoint.connector.startswith("api-ingress-") else set()
                notes |= {"unhealthy"} if not endpoint.healthy else set()
                notes |= {"barrier"} if endpoint.barrier else set()
                notes |= {"backlog"} if endpoint.queued else set()
    assert words["nightly"] == {
        "Running", "Stopping", "Stopped", "Provisioning", "Initializing", "Bootstrapping",
    }  # fmt: skip
    assert words["clicks"] == {"Running", "Paused"}
    assert words["broken"] >= {"Stopped", "Provisioning", "Initializing", "Running", "Stopping"}
    assert words["migration"] == {"Provisioning", "AwaitingApproval"}
    assert words["archive"] == {"Stopped"}
    assert len(incarnations["nightly"]) > 5
    assert len(incarnations["orders"]) == 1
    assert notes == {"failed", "visited", "unhealthy", "barrier", "backlog"}


def test_counters_never_fall_within_an_incarnation() -> None:
    world = a_world()
    last: dict[tuple[Any, str], tuple[int, ...]] = {}
    for _ in range(600):
        run(world, 1)
        for one in world.pipelines.values():
            for e in one.endpoints:
                now = (e.records, e.size_in_bytes, e.record_errors, e.transport_errors, e.seen_records)
                before = last.get((one.incarnation, e.name), now)
                assert one.incarnation is None or all(a >= b for a, b in zip(now, before, strict=True))
                assert 0 <= e.buffered <= e.records
                assert e.queued >= 0
                last[one.incarnation, e.name] = now


def test_only_so_many_error_texts_are_kept() -> None:
    world, one = lone(Endpoint("t", "c", True, "file_input", profile=Profile(parse_errors=1.0)))
    world.run_since(one, 250)
    (endpoint,) = one.endpoints
    assert endpoint.record_errors == 250
    texts = input_status(endpoint)["parse_errors"]
    assert [text["index"] for text in texts] == list(range(250 - KEPT_ERRORS, 250))


# ---- one run


def test_a_bounded_run_goes_as_runs_go() -> None:
    world, one = lone(bounded(), Endpoint("customer_count", "unnamed-0", False, "file_output"), bootstraps=True)
    assert one.status == "Stopped"
    world.start_pipeline(one)
    story: list[Any] = []

    def over() -> bool:
        endpoint = one.inputs[0]
        drained = endpoint.ended and not endpoint.buffered
        moment = (one.status, one.is_serving and endpoint.ended, one.is_serving and drained)
        if not story or story[-1] != moment:
            story.append(moment)
        return one.is_serving and drained

    run_until(world, over, step=0.5)
    assert story == [
        ("Provisioning", False, False),
        ("Initializing", False, False),
        ("Bootstrapping", False, False),
        ("Running", False, False),
        ("Running", True, False),
        ("Running", True, True),
    ]
    told = stats(world, one, texts=True)
    assert told["global_metrics"]["pipeline_complete"] is True
    assert told["inputs"][0]["metrics"]["total_records"] == 600
    before = json.dumps(told["inputs"])
    run(world, 120)
    assert json.dumps(stats(world, one, texts=True)["inputs"]) == before
    incarnation = one.incarnation
    world.stop(one)
    assert (one.status, pipeline(one, "status")["deployment_id"]) == ("Stopping", None)
    run(world, 5)
    assert one.status == "Stopped"
    world.start_pipeline(one)
    run_until(world, lambda: one.is_serving)
    assert one.incarnation not in (None, incarnation)
    assert one.inputs[0].records == 0


async def served_run(api: Api, seconds: int) -> list[Any]:
    """Statuses of the nightly pipeline's counters, second by second, without repetitions."""
    story: list[Any] = []
    for _ in range(seconds):
        status, body = await api.ask("GET", f"{LIST}/nightly/tables/products/connectors/s3_products/stats")
        moment = body["error_code"] if status != 200 else body["metrics"]["end_of_input"]
        if not story or story[-1] != moment:
            story.append(moment)
        api.pass_time(1)
    return story


async def test_a_run_as_the_api_tells_it() -> None:
    async with simulated() as api:
        nightly = api.world.pipelines["nightly"]
        assert (await api.ask("POST", f"{LIST}/nightly/stop?force=true"))[0] == 202
        api.pass_time(5)
        assert (await api.ask("GET", LIST))[0] == 200
        assert nightly.status == "Stopped"
        assert (await api.ask("POST", f"{LIST}/nightly/start"))[0] == 202
        story = await served_run(api, 90)
    assert story == ["PipelineInteractionNotDeployed", "Initializing", False, True]


def test_a_paused_connector_receives_nothing() -> None:
    world, one = lone(Endpoint("t", "c", True, "nats_input", starts_paused=True))
    world.run_since(one, 10)
    (endpoint,) = one.endpoints
    assert (endpoint.paused, endpoint.records) == (True, 0)
    endpoint.paused = False
    run(world, 10)
    received = endpoint.records
    assert received
    world.hold(one, "Paused")
    run(world, 2)
    held = endpoint.records
    run(world, 30)
    assert (endpoint.records, endpoint.paused, one.status) == (held, False, "Paused")
    world.hold(one, "Running")
    run(world, 10)
    assert endpoint.records > held


def test_a_failure_stops_the_pipeline_with_an_error() -> None:
    world, one = lone(bounded())
    world.run_since(one, 3)
    world.fail(one, "worker 3 ran out of memory")
    run(world, 10)
    shown = pipeline(one, "status")
    assert shown["deployment_status"] == "Stopped"
    assert shown["deployment_error"]["message"] == "worker 3 ran out of memory"
    world.start_pipeline(one)
    world.stop(one)
    run(world, 60)
    assert one.status == "Stopped"


async def test_an_early_start_waits_for_the_compiler() -> None:
    async with simulated() as api:
        status, made = await api.ask("POST", LIST, {"name": "fresh"})
        assert (status, made["program_status"], made["program_info"]) == (201, "Pending", None)
        assert (await api.ask("POST", f"{LIST}/fresh/start"))[0] == 202
        told = await api.get(f"{LIST}/fresh?selector=status")
        assert (told["deployment_status"], told["deployment_desired_status"]) == ("Stopped", "Running")
        assert (await api.ask("DELETE", f"{LIST}/fresh"))[1]["error_code"] == "DeleteRestrictedToFullyStopped"
        api.pass_time(60)
        assert (await api.get(f"{LIST}/fresh?selector=status"))["deployment_status"] == "Running"
        assert (await api.ask("POST", f"{LIST}/fresh/stop?force=true"))[0] == 202
        api.pass_time(10)
        assert (await api.ask("DELETE", f"{LIST}/fresh"))[0] == 200
        assert (await api.ask("GET", f"{LIST}/fresh"))[0] == 404


@cases("name", ["", "-a", "a b", "ä", "a" * 64, None])
async def test_names_have_a_pattern(name: str | None) -> None:
    async with simulated() as api:
        status, body = await api.ask("POST", LIST, {"name": name})
    assert (status, body["error_code"]) == (400, "NameDoesNotMatchPattern")


async def test_time_moves_the_answers() -> None:
    async with simulated() as api:
        before = await api.get(f"{LIST}/orders/stats")
        assert await api.get(f"{LIST}/orders/stats") == before
        api.pass_time(2)
        assert await api.get(f"{LIST}/orders/stats") != before
