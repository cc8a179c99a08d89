"""One query over everything that the schema serves, asked of a store that the real engine fills."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from graphql import GraphQLObjectType, GraphQLUnionType, get_named_type, is_leaf_type

from connectory.engine import ConfiguredSystem, Engine
from connectory.model import Role
from connectory.store import Store
from resolvers.context import Context, Viewer
from schema import build_schema
from sources.registry import kinds
from tests.paths import EXAMPLES
from tests.sources.canned import Asked, Reply, canned
from tests.wait import until

SCHEMA = build_schema()
#: The system that the examples are served as.
SYSTEM = "upstream"
#: What stands for a secret in the example payloads.
MARK = "NOT-A-REAL-SECRET"

Answers = Mapping[str, Reply | Callable[[Asked], Reply]]
Data = dict[str, Any]


def selection(type_name: str, prefix: str = "") -> str:
    """Every field of a type that is a value or an object of values; what is a list of its own is asked for apart.

    With ``prefix`` the fields get aliases: two members of a union may give one name different types.
    """
    of = SCHEMA._schema.type_map[type_name]
    if isinstance(of, GraphQLUnionType):
        parts = [f"... on {member.name} {{ {selection(member.name, f'{member.name}__')} }}" for member in of.types]
        return " ".join(["__typename", *parts])
    assert isinstance(of, GraphQLObjectType)
    found = []
    for name, field in of.fields.items():
        named = get_named_type(field.type)
        alias = f"{prefix}{name}: {name}" if prefix else name
        if is_leaf_type(named):
            found.append(alias)
        elif not _has_fields_of_its_own(named):
            found.append(f"{alias} {{ {selection(named.name)} }}")
    return " ".join(found)


def _has_fields_of_its_own(named: object) -> bool:
    """Nodes, and pages of them."""
    return isinstance(named, GraphQLObjectType) and (bool(named.interfaces) or named.name.endswith("Connection"))


EVERYTHING = f"""{{
  systems {{ {selection("System")} }}
  connectors(first: 1000, filter: {{ includeRemoved: true }}) {{ nodes {{ {selection("Connector")} }} }}
  jobs(first: 1000) {{ nodes {{
    {selection("Job")} connector {{ id }} errors(first: 1000) {{ nodes {{ {selection("JobError")} }} }}
  }} }}
  sourceSummaries {{ {selection("SourceSummary")} }}
}}"""


def payload(*path: str) -> Any:
    return json.loads(EXAMPLES.joinpath(*path).read_text())


def examples(*globs: str) -> list[str]:
    """Paths of example payloads below their folder, sorted. A glob that fits none is a mistake."""
    found = []
    for glob in globs:
        files = sorted(path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.glob(glob))
        assert files, glob
        found += files
    return found


@asynccontextmanager
async def gateway(store: Store, kind: str, settings: Mapping[str, Any]) -> AsyncIterator[Engine]:
    """An engine with one system, whose polls after the first one are far away."""
    found = kinds()[kind]
    told = found.settings.model_validate({"name": SYSTEM, "kind": kind, **settings})
    times = {"poll_interval": 60.0, "live_interval": 60.0, "stale_after": 600.0}
    system = ConfiguredSystem(kind=found, settings=told, max_backoff=60.0, auth_probe_interval=60.0, **times)
    engine = Engine(store, [system])
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


async def look(store: Store) -> Data:
    """The answer to the query over everything: nodes in lists, each job with its whole connector and its errors."""
    context = Context(store, Viewer("test", Role.VIEWER))
    try:
        result = await SCHEMA.execute(EVERYTHING, context_value=context)
    finally:
        await context.close()
    assert result.errors is None, result.errors
    assert result.data is not None
    data: Data = json.loads(json.dumps(result.data))
    for name in ("connectors", "jobs"):
        data[name] = [_unaliased(node) for node in data[name]["nodes"]]
    by_id = {connector["id"]: connector for connector in data["connectors"]}
    for job in data["jobs"]:
        job["connector"] = job["connector"] and by_id[job["connector"]["id"]]
        job["errors"] = job["errors"]["nodes"]
    return data


def _unaliased(node: dict[str, Any]) -> dict[str, Any]:
    node["details"] = {name.rpartition("__")[2] or name: value for name, value in (node["details"] or {}).items()}
    return node


async def told(
    store: Store,
    kind: str,
    answers: Answers,
    settings: Mapping[str, Any],
    *,
    jobs: int = 0,
    ready: Callable[[Data], bool] = lambda data: True,
    complete: bool = True,
) -> Data:
    """Everything that is known once this upstream was polled, so many jobs are there and ``ready`` holds.

    ``settings`` lack the URL; a path below it stands under ``below``. With ``complete``, nothing of the answers may
    have been unreadable.
    """
    async with canned(answers) as upstream:
        url = f"{upstream.url}{settings.get('below', '')}"
        given = {key: value for key, value in settings.items() if key != "below"}

        async def seen() -> Data | None:
            data = await look(store)
            (system,) = data["systems"]
            return data if system["lastPollAt"] and len(data["jobs"]) >= jobs and ready(data) else None

        async with gateway(store, kind, {"url": url, **given}):
            data = await until(seen)
    assert data is not None
    if complete:
        assert data["systems"][0]["lastError"] is None
        assert data["systems"][0]["health"] == "UP"
    assert MARK not in json.dumps(data)
    return data


def by_external_id(nodes: list[Data]) -> dict[str, Data]:
    found = {node["externalId"]: node for node in nodes}
    assert len(found) == len(nodes)
    return found
