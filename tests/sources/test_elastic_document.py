"""What the simulated Elasticsearch answers, against the vendor's OpenAPI document (elastic.md §11)."""

from collections.abc import AsyncIterator
from typing import Any, ClassVar

from tests.sources.elastic_stage import CONNECTORS, FILES, JOBS, load, open_door
from tests.sources.payloads import Document, DocumentContract


def relaxed(schema: Any) -> Any:
    """The document with the three relaxations that real answers need (elastic.md §11): free values may be anything,
    null is allowed, oneOf is read as anyOf."""
    if isinstance(schema, list):
        return [relaxed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {("anyOf" if key == "oneOf" else key): relaxed(value) for key, value in schema.items()}
    if made.get("type") == "object" and len(made) == 1:
        return {}
    if isinstance(made.get("type"), str) or "enum" in made:
        made["nullable"] = True
        if "enum" in made:
            made["enum"] = [*made["enum"], None]
    if isinstance(made.get("properties"), dict):
        free: dict[str, Any] = {key: {} for key in made["properties"].keys() & {"value", "default_value"}}
        made["properties"] = {key: _nullable(value) for key, value in made["properties"].items()} | free
    return made


def _nullable(schema: Any) -> Any:
    if isinstance(schema, dict) and schema.keys() & {"allOf", "$ref"}:
        return {"anyOf": [schema, {"enum": [None], "nullable": True}]}
    return schema


CONNECTOR_SCHEMA, JOB_SCHEMA = "connector._types.Connector", "connector._types.ConnectorSyncJob"
#: examples that are not valid on purpose
DELIBERATE = {"nTpLRo8BYe1XwP0nAHtZ", "vjqLRo8BYe1XwP0nMz1l"}
SOUND = load("connector/get.connected.response.json")


def valid(documents: dict[str, Any]) -> dict[str, Any]:
    return {
        name: sent
        for name, sent in documents.items()
        if "old" not in name and "stale" not in name and sent["id"] not in DELIBERATE
    }


class TestElasticDocument(DocumentContract):
    document = Document("elastic-connectors", relaxed)
    sound: ClassVar = {
        CONNECTOR_SCHEMA: valid(CONNECTORS),
        JOB_SCHEMA: valid(JOBS),
        "_types.Result": {name: load(name)["result"] for name in FILES if "result" in load(name)},
    }
    unsound: ClassVar = [
        (CONNECTOR_SCHEMA, {**SOUND, "status": "dreaming"}),
        (CONNECTOR_SCHEMA, {**SOUND, "is_native": "no"}),
        (CONNECTOR_SCHEMA, {key: value for key, value in SOUND.items() if key != "scheduling"}),
    ]

    async def simulated(self) -> AsyncIterator[tuple[str, list[Any]]]:
        async with open_door() as door:
            connectors = await door.documents("/_connector?size=1000&include_deleted=true")
            jobs = await door.documents("/_connector/_sync_job?size=1000")
            assert len(connectors) > 20
            assert len(jobs) > 100
            yield CONNECTOR_SCHEMA, connectors
            yield JOB_SCHEMA, jobs
            deleted = [(await door.ask("DELETE", path))[1] for path in ("/_connector/_sync_job/{p}", "/_connector/{c}")]
            yield "_types.AcknowledgedResponseBase", deleted
