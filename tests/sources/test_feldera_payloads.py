"""Every example payload of Feldera that a server answers: read by the adapter, or simulated alike."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar
from urllib.parse import unquote

import pytest

from sources.base import ActionNotSupported, SourceAuthFailed, SourceMismatch, SourceUnreachable
from sources.feldera.client import EndpointUnknown, FelderaClient, NotServed, PipelineUnknown
from sources.feldera.simulator.checks import READER_TOKEN, TOKEN
from sources.feldera.source import FelderaSource
from tests.sources.canned import Reply, canned
from tests.sources.cases import cases
from tests.sources.feldera_stage import (
    EVERY_STATUS,
    FELDERA,
    FILES,
    INPUTS,
    LIST,
    OUTPUTS,
    PIPELINES,
    STATS,
    WITH_PROGRAM,
    configured,
    feldera,
    gathered,
    pipeline,
    read,
    simulated,
)
from tests.sources.payloads import Likeness, PayloadContract, Refusal, Shape

SHAPE = Shape(free=("transport.config", ".metadata", "approval_diff", ".details"), named=("_connectors",))

_POST: dict[str, Any] = {"method": "POST"}
_KAFKA = f"{LIST}/orders/tables/orders/connectors/kafka_orders"
#: error example → what makes the simulator answer so: path, how, and what is done to the world before
REFUSED: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "bad_api_key_text_body_without_details": (LIST, {"headers": {"Authorization": f"Bearer {TOKEN[:-1]}"}}, {}),
    "bad_jwt_empty_body": (LIST, {"headers": {}}, {}),
    "duplicate_name": (LIST, {**_POST, "body": {"name": "orders"}}, {}),
    "enterprise_feature": (f"{LIST}/orders/stop", _POST, {}),
    "from_pipeline_awaitingapproval": (f"{LIST}/p/stats", {}, {"runtime": "AwaitingApproval"}),
    "from_pipeline_initializing": (f"{LIST}/p/stats", {}, {"runtime": "Initializing"}),
    "from_pipeline_suspended": (f"{LIST}/p/stats", {}, {"runtime": "Suspended"}),
    "from_pipeline_terminating": (f"{LIST}/p/stats", {}, {"fault": "Terminating"}),
    "from_pipeline_initialization_error": (
        f"{LIST}/prices/stats",
        {},
        {"name": "prices", "fault": "InitializationError"},
    ),
    "illegal_pipeline_action": (f"{LIST}/p/start", _POST, {"resources": "Stopping", "resources_desired": "Stopped"}),
    "insufficient_permissions": (
        f"{_KAFKA}/pause",
        {**_POST, "headers": {"Authorization": f"Bearer {READER_TOKEN}"}},
        {},
    ),
    "invalid_connector_action": (f"{_KAFKA}/restart", _POST, {}),
    "invalid_response_too_large": (f"{LIST}/orders/stats", {}, {"name": "orders", "fault": "payload too large"}),
    "not_deployed": (
        f"{LIST}/nightly/stats",
        {},
        {"name": "nightly", "resources": "Stopped", "resources_desired": "Stopped"},
    ),
    "not_deployed_provisioning": (f"{LIST}/starting/stats", {}, {"name": "starting", "resources": "Provisioning"}),
    "pause_while_not_provisioned": (f"{LIST}/archive/pause", _POST, {}),
    "start_failed_compilation": (f"{LIST}/draft/start", _POST, {}),
    "unavailable": (f"{LIST}/lost/stats", {}, {"name": "lost", "runtime": "Unavailable"}),
    "unknown_input_endpoint": (f"{LIST}/orders/tables/orders/connectors/nope/stats", {}, {}),
    "unknown_output_endpoint": (f"{LIST}/orders/views/order_totals/connectors/nope/stats", {}, {}),
    "unknown_pipeline": (f"{LIST}/nope/stats", {}, {}),
    "unreachable_disconnected": (f"{LIST}/orders/stats", {}, {"name": "orders", "fault": "the pipeline disconnected"}),
    "unreachable_timeout": (f"{LIST}/orders/stats", {}, {"name": "orders", "fault": "timeout (10s) was reached"}),
    "unsupported_action": (f"{LIST}/p/stop", _POST, {"edition": "Enterprise", "has_storage": False}),
}


async def test_keys_come_in_the_order_of_the_examples() -> None:
    async with simulated() as api:
        stats = await api.get(f"{LIST}/orders/stats?include_connector_errors=true")
        whole = await api.get(f"{LIST}/orders")
        entry = await api.get(f"{LIST}/orders?selector=status")
    example = read("pipeline_stats/running.include_connector_errors_true.response.json")
    assert list(stats) == list(example)
    assert list(stats["global_metrics"]) == list(example["global_metrics"])
    latest = next(one for one in stats["inputs"] if one["completed_frontier"])
    assert list(latest) == list(example["inputs"][1])
    assert list(latest["metrics"]) == list(example["inputs"][1]["metrics"])
    assert list(stats["outputs"][0]) == list(example["outputs"][0])
    assert list(stats["outputs"][0]["metrics"]) == list(example["outputs"][0]["metrics"])
    assert list(whole) == list(read(WITH_PROGRAM))
    assert list(entry) == list(read("pipelines/get.selector_status.running.response.json"))


async def test_texts_come_with_the_counters_only_when_asked_for() -> None:
    async with simulated() as api:
        with_texts = await api.get(f"{LIST}/orders/stats?include_connector_errors=true")
        without = await api.get(f"{LIST}/orders/stats")
    lists = {"parse_errors", "encode_errors", "transport_errors"}
    for key, example in (("inputs", "input/stats.running"), ("outputs", "output/stats.running")):
        assert without[key] == [{k: v for k, v in sent.items() if k not in lists} for sent in with_texts[key]]
        assert with_texts[key][0].keys() == read(f"{example}.response.json").keys()


async def test_an_endpoints_own_route_tells_what_the_counters_tell() -> None:
    async with simulated() as api:
        stats = await api.get(f"{LIST}/orders/stats?include_connector_errors=true")
        one = await api.get(f"{LIST}/orders/tables/ORDERS/connectors/kafka_orders/stats")
        out = await api.get(f"{LIST}/orders/views/order_totals/connectors/kafka_out/stats")
    assert one in stats["inputs"]
    assert out in stats["outputs"]


async def test_a_503_of_the_process_asks_for_no_pause() -> None:
    async with simulated() as api:
        for word, asked in (("Initializing", None), ("Unavailable", "5")):
            api.world.pipelines["orders"].runtime = word
            status, _ = await api.ask("GET", f"{LIST}/orders/stats")
            assert (status, api.headers.get("Retry-After")) == (503, asked)


# ---- actions

ACTIONS: dict[str, tuple[str, str, int]] = {
    "actions/start.202.response.json": ("POST", f"{LIST}/archive/start", 202),
    "actions/stop_force.202.response.json": ("POST", f"{LIST}/orders/stop?force=true", 202),
    "actions/clear.202.response.json": ("POST", f"{LIST}/archive/clear", 202),
}


@cases("name", ACTIONS)
async def test_actions_are_answered_as_in_the_examples(name: str) -> None:
    method, path, status = ACTIONS[name]
    async with simulated() as api:
        assert await api.ask(method, path) == (status, read(name))


@cases("action", ["pause", "start"])
async def test_connector_actions_have_an_empty_body(action: str) -> None:
    example = read("actions/connector_pause.200.json")
    async with simulated() as api:
        for _ in range(2):
            answer = await api.ask("POST", f"{_KAFKA}/{action}")
            assert answer == (example["status"], example["body"])
            assert {key: api.headers.get(key) for key in example["headers"]} == example["headers"]
        assert (await api.get(f"{_KAFKA}/stats"))["paused"] is (action == "pause")


async def test_completion_tokens_are_redeemed_as_in_the_examples() -> None:
    async with simulated() as api:
        api.pass_time(3)
        said = await api.get(f"{_KAFKA}/completion_token")
        SHAPE.assert_alike([said], [read("actions/completion_token.response.json")])
        path = f"{LIST}/orders/completion_status?token={said['token']}"
        endpoint = next(e for e in api.world.pipelines["orders"].inputs if e.connector == "kafka_orders")
        endpoint.buffered = 10
        assert await api.get(path) == read("actions/completion_status.inprogress.response.json")
        endpoint.buffered = 0
        done = await api.get(path)
        assert (done["status"], type(done["step"])) == ("complete", int)
        assert done.keys() == read("actions/completion_status.complete.response.json").keys()
        assert (await api.ask("GET", f"{LIST}/orders/completion_status?token=nonsense"))[0] == 400


@cases("trouble", [None, "no answer within 5 s"])
async def test_the_health_of_the_cluster(trouble: str | None) -> None:
    status = 503 if trouble else 200
    async with simulated() as api:
        api.world.compiler_trouble = trouble
        told, body = await api.ask("GET", "/v0/cluster_healthz")
    example = read(f"health/cluster_healthz.{status}.response.json")
    assert told == status
    SHAPE.assert_alike([body], [example])
    assert body["compiler"]["message"] == example["compiler"]["message"]


async def test_names_are_quoted_and_encoded_in_paths() -> None:
    async with simulated() as api:
        async with FelderaClient(configured(api.url, token=TOKEN)) as client:
            told = await client.endpoint("sales", "Sales.Items", "csv_2024", is_input=True)
            with pytest.raises(EndpointUnknown):
                await client.endpoint("sales", "sales.items", "csv_2024", is_input=True)
        status, _ = await api.ask("GET", f"{LIST}/sales/tables/Sales.Items/connectors/csv_2024/stats")
    assert told["endpoint_name"] == read("input/stats.quoted_identifier.response.json")["endpoint_name"]
    assert status == 404  # without quotes SQL makes it sales.items


@cases("relation", ['say "x"', "a/b", "a%2Fb", "a?b#c", "ä ö"])
async def test_odd_names_travel_whole(relation: str) -> None:
    async with feldera(pipeline("p")) as (source, upstream):
        with pytest.raises(EndpointUnknown):
            await source.http.endpoint("p", relation, "c", is_input=False)
        (asked,) = upstream.asked
    assert unquote(asked) == unquote(f'p/views/"{relation}"/connectors/c/stats')


# ---- what holds for the payloads of every kind


class TestFelderaPayloads(PayloadContract):
    folder = FELDERA
    shape = SHAPE
    errors: ClassVar = {
        ActionNotSupported: "enterprise_feature invalid_connector_action unsupported_action",
        EndpointUnknown: "unknown_input_endpoint unknown_output_endpoint",
        NotServed: "from_pipeline_awaitingapproval from_pipeline_initializing from_pipeline_suspended"
        " from_pipeline_terminating not_deployed not_deployed_before_retry_after not_deployed_provisioning unavailable",
        PipelineUnknown: "unknown_pipeline",
        SourceAuthFailed: "bad_api_key_text_body_without_details bad_jwt_empty_body insufficient_permissions",
        SourceMismatch: "duplicate_name illegal_pipeline_action pause_while_not_provisioned start_failed_compilation",
        SourceUnreachable: "from_pipeline_initialization_error invalid_response_too_large proxy_html"
        " unreachable_disconnected unreachable_timeout",
    }
    odd_bodies: ClassVar = [{"error_code": 7, "message": [1]}, {"message": "x" * 5000}, [1], None, 7, "text"]
    sentence = 400
    refused = REFUSED.keys()
    not_refused: ClassVar = {"a present server does not say so": "not_deployed_before_retry_after proxy_html"}
    carried: ClassVar = [EVERY_STATUS]
    used: ClassVar = {
        *INPUTS,
        *OUTPUTS,
        *STATS,
        *PIPELINES,
        *ACTIONS,
        *(name for name in FILES if name.startswith(("health/", "actions/completion_", "actions/connector_"))),
        "timelines/bounded_source.json",
    }

    @asynccontextmanager
    async def answered(self, reply: Reply, where: str) -> AsyncIterator[FelderaSource]:
        async with canned({f"GET {LIST}": reply}) as upstream:
            source = FelderaSource(configured(upstream.url))
            try:
                yield source
            finally:
                await source.close()

    def pieces(self, name: str, example: Any) -> list[str]:
        body = example["body"]
        told = [body["error_code"], body["message"][:60]] if isinstance(body, dict) else []
        return [*told, "Missing bearer token"] if "WWW-Authenticate" in example["headers"] else told

    async def refusals(self) -> AsyncIterator[Refusal]:
        for name, (path, how, done) in REFUSED.items():
            async with simulated() as api:
                api.world.edition = done.get("edition", api.world.edition)
                called = done.get("name", "p")
                target = api.world.pipelines.get(called) or api.world.add(called, resources="Provisioned")
                if target.resources_desired == "Stopped" and called != "nightly":
                    target.resources_desired = "Provisioned"
                for key, value in done.items():
                    if key not in ("name", "edition"):
                        setattr(target, key, value)
                options = {key: value for key, value in how.items() if key not in ("method", "body")}
                status, body = await api.ask(how.get("method", "GET"), path, how.get("body"), **options)
                yield name, status, body, api.headers

    def assert_worded(self, body: Any, example: Any) -> None:
        assert body == (example or None)

    def header(self, sent: str) -> str:
        return sent.replace("; charset=utf-8", "")

    async def likenesses(self) -> AsyncIterator[Likeness]:
        async with simulated() as api:
            found = await gathered(api, 40, 7)  # twice the rounds after which all was shown
        old = "input/stats.version_before_2025_09_full_config.response.json"
        yield "input", found["input"], [read(name) for name in INPUTS if name != old]
        yield "output", found["output"], [read(name) for name in OUTPUTS]
        apart: dict[str, Any] = {"inputs": [], "outputs": []}  # they are compared by themselves
        yield "stats", [{**body, **apart} for body in found["stats"]], [{**read(name), **apart} for name in STATS]
        every, one = read(EVERY_STATUS), read("pipelines/get.selector_status.running.response.json")
        yield "status", found["status"], [*every, one]
        with_errors = read("pipelines/list.selector_status_with_connectors.response.json")
        yield "status_with_connectors", found["status_with_connectors"], [*every, *with_errors]
        yield "all", found["all"], [*every, read(WITH_PROGRAM)]

    def client(self, url: str) -> FelderaClient:
        return FelderaClient(configured(url))
