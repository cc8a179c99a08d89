"""One query over everything that the schema serves, asked of a store that the real engine fills."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
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


_NODES = f"""
  systems {{ {selection("System")} }}
  connectors(first: 1000, filter: {{ includeRemoved: true }}) {{ nodes {{
    {selection("Connector")} system {{ name }}
  }} }}
  jobs(first: 1000) {{ nodes {{
    {selection("Job")} system {{ name }} connector {{ id }}
    errors(first: 1000) {{ nodes {{ {selection("JobError")} }} }}
  }} }}
"""
_SUMMARIES = f"{{ {selection('SourceSummary')} }}"
_GLANCE = "{ systems { name lastPollAt } jobs(first: 1000) { nodes { system { name } } } }"


def everything(systems: Iterable[str]) -> str:
    """What sums up several connectors is asked of each system apart, under its number."""
    summaries = (
        f'summaries_{number}: sourceSummaries(filter: {{ systems: ["{system}"] }}) {_SUMMARIES}'
        for number, system in enumerate(systems)
    )
    return f"{{ {_NODES} {' '.join(summaries)} }}"


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
async def gateway(store: Store, kind: str, settings: Mapping[str, Mapping[str, Any]]) -> AsyncIterator[Engine]:
    """An engine with these systems of one kind, whose polls after the first one are far away."""
    found = kinds()[kind]
    times = {"poll_interval": 600.0, "live_interval": 600.0, "stale_after": 6000.0}
    systems = [
        ConfiguredSystem(
            kind=found,
            settings=found.settings.model_validate({"name": name, "kind": kind, **given}),
            max_backoff=600.0,
            auth_probe_interval=600.0,
            **times,
        )
        for name, given in settings.items()
    ]
    engine = Engine(store, systems)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


async def _ask(store: Store, query: str) -> Data:
    context = Context(store, Viewer("test", Role.VIEWER))
    try:
        result = await SCHEMA.execute(query, context_value=context)
    finally:
        await context.close()
    assert result.errors is None, result.errors
    assert result.data is not None
    data: Data = json.loads(json.dumps(result.data))
    return data


async def _is_worth_a_look(store: Store, jobs: Mapping[str, int]) -> bool:
    """Whether these systems are polled, and have so many jobs: to ask for everything costs too much to try."""
    seen = await _ask(store, _GLANCE)
    polled = {system["name"] for system in seen["systems"] if system["lastPollAt"]}
    there = Counter(job["system"]["name"] for job in seen["jobs"]["nodes"])
    return jobs.keys() <= polled and all(there[system] >= count for system, count in jobs.items())


async def look(store: Store, systems: Iterable[str]) -> dict[str, Data]:
    """The answer to the query over everything, by system: nodes in lists, each job with its whole connector and its
    errors."""
    systems = list(systems)
    data = await _ask(store, everything(systems))
    answers: dict[str, Data] = {
        system: {"systems": [], "connectors": [], "jobs": [], "sourceSummaries": data[f"summaries_{number}"]}
        for number, system in enumerate(systems)
    }
    for system in data["systems"]:
        answers[system["name"]]["systems"].append(system)
    by_id = {}
    for node in data["connectors"]["nodes"]:
        answers[node.pop("system")["name"]]["connectors"].append(_unaliased(node))
        by_id[node["id"]] = node
    for job in data["jobs"]["nodes"]:
        answers[job.pop("system")["name"]]["jobs"].append(_unaliased(job))
        job["connector"] = job["connector"] and by_id[job["connector"]["id"]]
        job["errors"] = job["errors"]["nodes"]
    return answers


def _unaliased(node: dict[str, Any]) -> dict[str, Any]:
    node["details"] = {name.rpartition("__")[2] or name: value for name, value in (node["details"] or {}).items()}
    return node


@dataclass(frozen=True, kw_only=True)
class Case:
    """One upstream, and what is to be known once it was polled, so many jobs are there and ``ready`` holds.

    ``settings`` lack the URL; a path below it stands under ``below``. With ``complete``, nothing of the answers may
    have been unreadable.
    """

    answers: Answers
    settings: Mapping[str, Any]
    #: what is wrong with what is told, line by line
    wrong: Callable[[Data], Iterable[str]]
    jobs: int = 0
    ready: Callable[[Data], bool] = lambda data: True
    complete: bool = True


def system_of(number: int) -> str:
    """The name of the system that stands for the case of this number."""
    return f"upstream-{number}"


async def wrong(store: Store, kind: str, cases: Mapping[str, Case]) -> dict[str, list[str]]:
    """Case → what is wrong there, of all cases that have anything wrong: each is a system of its own in one gateway."""
    of = {system_of(number): case for number, case in enumerate(cases.values())}
    answers: dict[str, Data] = {}

    async def seen() -> bool:
        if await _is_worth_a_look(store, {system: case.jobs for system, case in of.items()}):
            answers.update(await look(store, of))
        return bool(answers) and all(_is_ready(case, answers[system]) for system, case in of.items())

    async with AsyncExitStack() as stack:
        settings = {}
        for system, case in of.items():
            upstream = await stack.enter_async_context(canned(case.answers))
            given = {key: value for key, value in case.settings.items() if key != "below"}
            settings[system] = {"url": f"{upstream.url}{case.settings.get('below', '')}", **given}
        await stack.enter_async_context(gateway(store, kind, settings))
        try:
            await until(seen, within=60, every=0.1)
        except AssertionError:  # what is not ready is told, case by case
            answers.update(await look(store, of))
    return {
        name: lines
        for name, (system, case) in zip(cases, of.items(), strict=True)
        if (lines := list(_lines(case, answers[system])))
    }


def _is_ready(case: Case, data: Data) -> bool:
    return bool(data["systems"][0]["lastPollAt"] and len(data["jobs"]) >= case.jobs and case.ready(data))


def _lines(case: Case, data: Data) -> Iterator[str]:
    (system,) = data["systems"]
    try:
        if not _is_ready(case, data):
            yield f"not all is there: {system}, {len(data['jobs'])} of {case.jobs} jobs"
        if case.complete and (system["lastError"] or system["health"] != "UP"):
            yield f"{system['health']}: {system['lastError']}"
        if MARK in json.dumps(data):
            yield "a secret is shown"
        yield from case.wrong(data)
    except Exception as error:
        yield f"{type(error).__name__}: {error}"


def by_external_id(nodes: list[Data]) -> dict[str, Data]:
    found = {node["externalId"]: node for node in nodes}
    assert len(found) == len(nodes)
    return found
