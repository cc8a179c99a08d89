"""What the simulated Feldera answers, against the vendor's OpenAPI document (feldera.md §11)."""

import re
from collections.abc import AsyncIterator
from typing import Any, ClassVar

from sources.feldera.simulator.app import simulator
from sources.simulation import Clock
from tests.sources.contract import START
from tests.sources.feldera_stage import FILES, INPUTS, LIST, OUTPUTS, PIPELINES, STATS, gathered, read, simulated
from tests.sources.payloads import Document, DocumentContract


def relaxed(schema: Any) -> Any:
    """The document as real answers need it (feldera.md §11): what may be null is told by ``nullable`` beside ``allOf``,
    a ``$ref`` that may be absent may be null too, and the frontier's metadata is any JSON."""
    if isinstance(schema, list):
        return [relaxed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: relaxed(value) for key, value in schema.items()}
    if made.get("nullable") and "allOf" in made:
        return {"anyOf": [{"allOf": made["allOf"]}, {"enum": [None], "nullable": True}]}
    if isinstance(made.get("properties"), dict) and "metadata" in made["properties"]:
        made["properties"]["metadata"] = {}
    return made


DOCUMENT = Document("feldera", relaxed)
RUNNING = read("input/stats.running.response.json")


class TestFelderaDocument(DocumentContract):
    document = DOCUMENT
    sound: ClassVar = {
        "InputEndpointStatus": {name: read(name) for name in INPUTS},
        "OutputEndpointStatus": {name: read(name) for name in OUTPUTS},
        "ControllerStatus": {name: read(name) for name in STATS},
        "PipelineSelectedInfo": {name: read(name) for name in PIPELINES if name.startswith("pipelines/get")},
        "HealthStatus": {name: read(name) for name in FILES if name.startswith("health/")},
    }
    unsound: ClassVar = [
        ("InputEndpointStatus", {**RUNNING, "paused": None}),
        ("InputEndpointStatus", {**RUNNING, "health": {"status": "Splendid"}}),
        ("PipelineSelectedInfo", {"name": "p"}),
    ]

    async def simulated(self) -> AsyncIterator[tuple[str, list[Any]]]:
        async with simulated() as api:
            found = await gathered(api, 12, 45)
            for selector in ("status", "status_with_connectors", "all"):
                yield "PipelineSelectedInfo", found[selector]
            yield "ControllerStatus", found["stats"]
            yield "InputEndpointStatus", found["input"]
            yield "OutputEndpointStatus", found["output"]
            yield "Configuration", [await api.get("/v0/config")]
            yield "HealthStatus", [await api.get("/v0/cluster_healthz")]
            yield (
                "CompletionTokenResponse",
                [await api.get(f"{LIST}/orders/tables/orders/connectors/kafka_orders/completion_token")],
            )
            refused = [(await api.ask("GET", f"{LIST}/{name}/stats"))[1] for name in ("nope", "archive")]
            yield "ErrorResponse", refused
            yield "AuthProvider", [await api.get("/config/authentication")]


def test_every_documented_route_of_status_and_actions_is_simulated() -> None:
    served = {
        (route.method.lower(), re.sub(r":[^}]*", "", str(route.resource.canonical)))
        for route in simulator(clock=Clock(start=START, wall=lambda: 0.0)).router.routes()
        if route.resource is not None
    }
    names = {
        "pipeline_name": "pipeline",
        "table_name": "relation",
        "view_name": "relation",
        "connector_name": "connector",
    }
    words = ("start", "pause", "resume", "stop", "dismiss_error", "clear")
    for path, operations in DOCUMENT.content["paths"].items():
        for theirs, ours in names.items():
            path = path.replace(f"{{{theirs}}}", f"{{{ours}}}")
        path = re.sub(rf"(?<={{pipeline}}/)({'|'.join(words)})$", "{action}", path)
        for method in operations.keys() & {"get", "post", "delete"}:
            assert (method, path) in served
