"""The printed schema: a superset of the contract, described throughout, in Relay's shapes, serving plain records."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import strawberry
from graphql import (
    DocumentNode,
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    ObjectTypeDefinitionNode,
    build_ast_schema,
    find_breaking_changes,
    get_named_type,
    is_list_type,
    is_non_null_type,
    is_specified_scalar_type,
    parse,
)
from graphql import build_schema as build_reference

import resolvers.connectors
import resolvers.events
import resolvers.jobs
import resolvers.nodes
from connectory.limits import OperationLimits
from connectory.model import (
    Capability,
    ConnectorHealth,
    ConnectorMode,
    ConnectorStatus,
    EventKind,
    JobStatus,
    Role,
    SystemHealth,
)
from connectory.store.reads.records import DetailsRecord
from resolvers.budget import Budget
from resolvers.vocabulary import SortDirection
from schema import build_schema
from schema.enums import ENUMS
from tests.paths import CONTRACT, ROOT

#: Root fields that are still to come; whoever adds one takes it out of here.
TO_COME = {
    "Mutation": {
        "triggerSync", "cancelJob", "pauseConnector", "resumeConnector", "createConnector", "updateConnector",
        "deleteConnector", "startAuthorization", "completeAuthorization",
    },
    "Subscription": set(),
}  # fmt: skip


@pytest.fixture(scope="module")
def schema() -> strawberry.Schema:
    return build_schema()


@pytest.fixture(scope="module")
def printed(schema: strawberry.Schema) -> GraphQLSchema:
    return build_reference(schema.as_str())


@pytest.fixture(scope="module")
def contract() -> GraphQLSchema:
    return build_reference(CONTRACT.read_text())


def own_types(schema: GraphQLSchema) -> dict[str, GraphQLNamedType]:
    return {
        name: type_
        for name, type_ in schema.type_map.items()
        if not name.startswith("__") and not is_specified_scalar_type(type_)
    }


def neighbours(schema: GraphQLSchema, type_: GraphQLNamedType) -> Iterator[GraphQLNamedType]:
    """The types that one type mentions; an interface mentions whoever implements it."""
    match type_:
        case GraphQLObjectType() | GraphQLInterfaceType():
            yield from type_.interfaces
            for field in type_.fields.values():
                yield get_named_type(field.type)
                yield from (get_named_type(argument.type) for argument in field.args.values())
        case GraphQLInputObjectType():
            yield from (get_named_type(field.type) for field in type_.fields.values())
    if isinstance(type_, GraphQLInterfaceType | GraphQLUnionType):
        yield from schema.get_possible_types(type_)


def reached(schema: GraphQLSchema) -> set[str]:
    """What can be got to from the roots."""
    found: set[str] = set()
    waiting = [type_ for name in ("Query", *TO_COME) if (type_ := schema.type_map.get(name))]
    while waiting:
        type_ = waiting.pop()
        if type_.name not in found:
            found.add(type_.name)
            waiting.extend(neighbours(schema, type_))
    return found


def promised() -> GraphQLSchema:
    """The contract without the root fields that are still to come, and without what only they reach."""
    nodes = []
    for node in parse(CONTRACT.read_text()).definitions:
        if node.kind == "schema_definition":
            continue
        if isinstance(node, ObjectTypeDefinitionNode) and node.name.value in TO_COME:
            kept_fields = tuple(f for f in node.fields or () if f.name.value not in TO_COME[node.name.value])
            if not kept_fields:
                continue
            node = replace(node, fields=kept_fields)
        nodes.append(node)
    whole = build_ast_schema(DocumentNode(definitions=tuple(nodes)))
    within = reached(whole)
    kept = [node for node in nodes if node.name.value in within]  # type: ignore[attr-defined]
    return build_ast_schema(DocumentNode(definitions=tuple(kept)))


# ---- the contract


def test_only_what_is_still_to_come_is_left_out(contract: GraphQLSchema, printed: GraphQLSchema) -> None:
    for root in ("Query", *TO_COME):
        there = getattr(printed.type_map.get(root), "fields", {})
        assert set(getattr(contract.type_map[root], "fields", {})) - set(there) == TO_COME.get(root, set()), root
    assert set(own_types(promised())) <= set(own_types(printed))


def test_the_contract_is_kept(printed: GraphQLSchema) -> None:
    assert len(own_types(promised())) > 60
    assert find_breaking_changes(promised(), printed) == []


def test_the_committed_schema_is_the_printed_one(schema: strawberry.Schema) -> None:
    committed = (ROOT / "schema" / "schema.graphql").read_text()
    if committed.strip() != schema.as_str().strip():
        pytest.fail("schema/schema.graphql is out of date: connectory export-schema > schema/schema.graphql")


# ---- the rules


def described(schema: GraphQLSchema) -> Iterator[tuple[str, str | None]]:
    for name, type_ in own_types(schema).items():
        yield name, type_.description
        match type_:
            case GraphQLEnumType():
                yield from ((f"{name}.{key}", value.description) for key, value in type_.values.items())
            case GraphQLInputObjectType():
                yield from ((f"{name}.{key}", field.description) for key, field in type_.fields.items())
            case GraphQLObjectType() | GraphQLInterfaceType():
                for key, field in type_.fields.items():
                    yield f"{name}.{key}", field.description
                    for argument, definition in field.args.items():
                        yield f"{name}.{key}({argument}:)", definition.description


def test_everything_is_described(printed: GraphQLSchema) -> None:
    everything = list(described(printed))
    assert len(everything) > 400
    assert [name for name, text in everything if not (text or "").strip().endswith((".", "}"))] == []


def test_no_type_is_out_of_reach(printed: GraphQLSchema) -> None:
    assert set(own_types(printed)) - reached(printed) == set()


def test_root_fields_are_nullable(printed: GraphQLSchema) -> None:
    roots = [root for root in (printed.query_type, printed.mutation_type) if root is not None]
    assert roots
    fields = {name: field for root in roots for name, field in root.fields.items()}
    assert [name for name, field in fields.items() if is_non_null_type(field.type)] == []
    # a reader is told what null means
    assert [name for name, field in fields.items() if "null" not in (field.description or "").lower()] == []


def connections(schema: GraphQLSchema) -> list[GraphQLObjectType]:
    return [
        t for name, t in own_types(schema).items() if name.endswith("Connection") and isinstance(t, GraphQLObjectType)
    ]


def test_connections_follow_relay(printed: GraphQLSchema) -> None:
    found = connections(printed)
    assert {t.name for t in found} == {
        "ConnectorConnection", "JobConnection", "JobErrorConnection", "EventConnection", "OutageConnection",
        "NoticeConnection",
    }  # fmt: skip
    for connection in found:
        edge = f"{connection.name.removesuffix('Connection')}Edge"
        assert str(connection.fields["pageInfo"].type) == "PageInfo!"
        assert str(connection.fields["edges"].type) == f"[{edge}!]!"
        fields = printed.type_map[edge].fields  # type: ignore[attr-defined]
        assert str(fields["cursor"].type) == "String!"
        assert str(connection.fields["nodes"].type) == f"[{fields['node'].type}]!"
        assert not is_list_type(fields["node"].type.of_type)


def test_page_info_follows_relay(printed: GraphQLSchema) -> None:
    fields = printed.type_map["PageInfo"].fields  # type: ignore[attr-defined]
    assert {name: str(field.type) for name, field in fields.items()} == {
        "hasNextPage": "Boolean!",
        "hasPreviousPage": "Boolean!",
        "startCursor": "String",
        "endCursor": "String",
    }


def test_fields_of_connections_take_relays_arguments(printed: GraphQLSchema) -> None:
    names = {t.name for t in connections(printed)}
    fields = [
        field
        for type_ in own_types(printed).values()
        if isinstance(type_, GraphQLObjectType)
        for field in type_.fields.values()
        if get_named_type(field.type).name in names
    ]
    assert len(fields) == 9
    for field in fields:
        arguments = {name: str(argument.type) for name, argument in field.args.items()}
        assert arguments["first"] == "Int"
        assert arguments["after"] == "String"
        assert arguments.get("last", "Int") == "Int"
        assert arguments.get("before", "String") == "String"
        assert all(not isinstance(argument.type, GraphQLNonNull) for argument in field.args.values())


@pytest.mark.parametrize("enum", ENUMS, ids=lambda enum: enum.__name__)
def test_ranks_are_the_contracts_order(enum: type[Enum], contract: GraphQLSchema, printed: GraphQLSchema) -> None:
    """Ranks are sort orders and stand in the store: new values go to the end."""
    by_rank = sorted(enum, key=lambda member: member.value)
    names = [member.name for member in by_rank]
    assert [member.value for member in by_rank] == list(range(len(names)))
    shown = printed.type_map[enum.__name__]
    assert isinstance(shown, GraphQLEnumType)
    assert list(shown.values) == names
    promised = contract.type_map.get(enum.__name__)  # there are enums that the contract does not know
    if promised is not None:
        assert isinstance(promised, GraphQLEnumType)
        assert names[: len(promised.values)] == list(promised.values)


# ---- answers from plain records


class Record(SimpleNamespace):
    """Whatever the store could hand out, and None for the rest."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)


@dataclass(slots=True)
class SystemLike:
    typename: ClassVar[str] = "System"
    id: str = "system-1"
    name: str = "onyx-prod"
    health: SystemHealth = SystemHealth.AUTH_FAILED
    capabilities: tuple[Capability, ...] = (Capability.PAUSE, Capability.OAUTH)
    last_poll_at: datetime = datetime(2026, 1, 31, 13, tzinfo=timezone(timedelta(hours=1)))
    last_success_at: None = None


def connector(**values: Any) -> Record:
    given = {
        "typename": "Connector",
        "id": "connector-1",
        "name": "Handbook",
        "mode": ConnectorMode.STREAMING,
        "status": ConnectorStatus.ACTIVE,
        "health": ConnectorHealth.HEALTHY,
        "docs_indexed": 2**53 + 1,
        "observed_at": datetime(2026, 1, 31, 12, tzinfo=UTC),
        "system": SystemLike(),
    }
    return Record(**(given | values))


def answers(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, answer: Any) -> list[dict[str, Any]]:
    """Let a resolver give this answer; what it was asked is collected."""
    asked: list[dict[str, Any]] = []

    async def resolver(_ctx: Any, *arguments: Any, **named: Any) -> Any:
        asked.append({"arguments": arguments, **named})
        return answer(*arguments) if callable(answer) else answer

    monkeypatch.setattr(module, name, resolver)
    return asked


async def ask(schema: strawberry.Schema, query: str, **variables: Any) -> dict[str, Any]:
    context = SimpleNamespace(viewer=SimpleNamespace(name="ada", role=Role.OPERATOR), budget=Budget(OperationLimits()))
    result = await schema.execute(query, variables, context_value=context)
    assert result.errors is None
    assert result.data is not None
    return result.data


async def refusal(schema: strawberry.Schema, query: str, **variables: Any) -> str:
    result = await schema.execute(query, variables, context_value=SimpleNamespace(budget=Budget(OperationLimits())))
    assert result.errors is not None
    return result.errors[0].message


async def test_nodes_are_told_apart_by_their_typename(
    schema: strawberry.Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"c": connector(), "s": SystemLike()}
    answers(monkeypatch, resolvers.nodes, "nodes", lambda ids: [known.get(each) for each in ids])
    data = await ask(
        schema,
        """{ viewer { name role } nodes(ids: ["s", "x", "c"]) {
            __typename id
            ... on System { health capabilities lastPollAt lastSuccessAt }
            ... on Connector { status mode accessType docsIndexed observedAt system { name } }
        } }""",
    )
    assert data["viewer"] == {"name": "ada", "role": "OPERATOR"}
    assert data["nodes"] == [
        {
            "__typename": "System",
            "id": "system-1",
            "health": "AUTH_FAILED",
            "capabilities": ["PAUSE", "OAUTH"],
            "lastPollAt": "2026-01-31T12:00:00+00:00",
            "lastSuccessAt": None,
        },
        None,
        {
            "__typename": "Connector",
            "id": "connector-1",
            "status": "ACTIVE",
            "mode": "STREAMING",
            "accessType": None,
            "docsIndexed": 9007199254740993,
            "observedAt": "2026-01-31T12:00:00+00:00",
            "system": {"name": "onyx-prod"},
        },
    ]


async def test_details_are_told_apart_by_their_typename(
    schema: strawberry.Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {
        "feldera": DetailsRecord(
            "FelderaEndpointDetails",
            {
                "direction": "OUTPUT",
                "pipeline_name": "fraud",
                "parse_errors": [{"index": 7, "message": "bad row", "at": "2026-01-31T12:00:00Z"}],
            },
        ),
        "onyx": DetailsRecord("OnyxConnectorDetails", {"cc_pair_id": 12, "permissions": {"edit": True}}),
    }
    answers(monkeypatch, resolvers.connectors, "connector", lambda id: connector(details=known.get(id)))
    query = """query($id: ID!) { connector(id: $id) { details {
        __typename
        ... on FelderaEndpointDetails { direction pipelineName paused parseErrors { index at message tag } }
        ... on OnyxConnectorDetails { ccPairId permissions extra }
    } } }"""
    found = {id: (await ask(schema, query, id=id))["connector"]["details"] for id in ("feldera", "onyx", "neither")}
    assert found == {
        "feldera": {
            "__typename": "FelderaEndpointDetails",
            "direction": "OUTPUT",
            "pipelineName": "fraud",
            "paused": None,
            "parseErrors": [{"index": 7, "at": "2026-01-31T12:00:00Z", "message": "bad row", "tag": None}],
        },
        "onyx": {
            "__typename": "OnyxConnectorDetails",
            "ccPairId": 12,
            "permissions": {"edit": True},
            "extra": None,
        },
        "neither": None,
    }


async def test_events_are_told_apart_by_their_typename(
    schema: strawberry.Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = datetime(2026, 1, 31, 12, tzinfo=UTC)
    nodes = [
        Record(typename="GapEvent", cursor="9", at=at, kind=EventKind.GAP, from_="3", to="9"),
        Record(typename="JobEvent", cursor="10", at=at, kind=EventKind.JOB_FINISHED, job_status=JobStatus.CANCELED),
    ]
    page = Record(edges=[Record(cursor=n.cursor, node=n) for n in nodes], nodes=nodes)
    asked = answers(monkeypatch, resolvers.events, "events", page)
    data = await ask(
        schema,
        """{ events(first: 5, after: "2", filter: {kinds: [GAP, JOB_FINISHED]}) { nodes {
            __typename cursor kind
            ... on GapEvent { from to }
            ... on JobEvent { jobStatus previousJobStatus }
        } edges { cursor node { __typename } } } }""",
    )
    assert data["events"] == {
        "nodes": [
            {"__typename": "GapEvent", "cursor": "9", "kind": "GAP", "from": "3", "to": "9"},
            {
                "__typename": "JobEvent",
                "cursor": "10",
                "kind": "JOB_FINISHED",
                "jobStatus": "CANCELED",
                "previousJobStatus": None,
            },
        ],
        "edges": [
            {"cursor": "9", "node": {"__typename": "GapEvent"}},
            {"cursor": "10", "node": {"__typename": "JobEvent"}},
        ],
    }
    assert asked[0]["filter"].kinds == [EventKind.GAP, EventKind.JOB_FINISHED]
    assert (asked[0]["first"], asked[0]["after"], asked[0]["last"], asked[0]["before"]) == (5, "2", None, None)


async def test_lists_pass_on_what_was_asked(schema: strawberry.Schema, monkeypatch: pytest.MonkeyPatch) -> None:
    async def seven() -> int:
        return 7

    async def counted(field: Any) -> list[Record]:
        return [Record(value=field.name, count=3), Record(value=None, count=1)]

    page = Record(nodes=[], total_count=seven, current_page=seven, total_pages=seven, count_by=counted)
    asked = answers(monkeypatch, resolvers.connectors, "connectors", page)
    data = await ask(
        schema,
        """query($least: Long!, $status: ConnectorStatus!) {
            connectors(
                first: 2, offset: 4, orderBy: {field: HEALTH}
                filter: {docsIndexed: {gte: $least, lt: 9223372036854775807}, statuses: [$status]}
            ) { nodes { id } totalCount currentPage totalPages countBy(field: LAST_JOB_STATUS) { value count } }
        }""",
        least=2**40,
        status="PAUSED",
    )
    assert data["connectors"] == {
        "nodes": [],
        "totalCount": 7,
        "currentPage": 7,
        "totalPages": 7,
        "countBy": [{"value": "LAST_JOB_STATUS", "count": 3}, {"value": None, "count": 1}],
    }
    filter, page_asked = asked[0]["filter"], asked[0]["page"]
    assert (filter.docs_indexed.gte, filter.docs_indexed.lt, filter.docs_indexed.gt) == (2**40, 2**63 - 1, None)
    assert (filter.statuses, filter.kinds) == ([ConnectorStatus.PAUSED], None)
    assert asked[0]["order_by"].direction is SortDirection.ASC
    assert (page_asked.first, page_asked.offset, page_asked.after) == (2, 4, None)


@pytest.mark.parametrize("value", [1.5, "1", True, 2**63, -(2**63) - 1, [1], 1e19])
async def test_long_refuses(schema: strawberry.Schema, value: Any) -> None:
    query = "query($n: Long!) { connectors(filter: {docsIndexed: {eq: $n}}) { totalCount } }"
    assert "Long cannot represent" in await refusal(schema, query, n=value)


@pytest.mark.parametrize("literal", ["1.5", '"1"', "true", "9223372036854775808", "ONE"])
async def test_long_refuses_literals(schema: strawberry.Schema, literal: str) -> None:
    query = f"{{ connectors(filter: {{docsIndexed: {{eq: {literal}}}}}) {{ totalCount }} }}"
    assert "Long cannot represent" in await refusal(schema, query)


@pytest.mark.parametrize(
    ("query", "said", "column"),
    [
        ('{ jobs(filter: {startedAfter: "yes"}) { totalCount } }', "write ISO 8601", 31),
        ("{ connectors(filter: {docsIndexed: {eq: 1.5}}) { totalCount } }", "Long cannot represent", 41),
        ("{ connectors(filter: {healths: [BROKEN]}) { totalCount } }", "Valid: HEALTHY, DEGRADED, FAILING", 33),
        ("query($h: [ConnectorHealth!]) { connectors(filter: {healths: $h}) { totalCount } }", "Valid: HEALTHY", 7),
    ],
)
async def test_a_refused_value_tells_where_it_stands_and_what_is_valid(
    schema: strawberry.Schema, query: str, said: str, column: int
) -> None:
    result = await schema.execute(
        query, {"h": ["HEALTY"]}, context_value=SimpleNamespace(budget=Budget(OperationLimits()))
    )
    assert result.errors is not None
    (error,) = result.errors
    assert said in error.message
    assert [place.column for place in error.locations or ()] == [column]


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00:00.123456789+02:00", datetime(2026, 1, 31, 10, 0, 0, 123456, tzinfo=UTC)),
    ],
)
async def test_instants_are_read_in_utc(
    schema: strawberry.Schema, monkeypatch: pytest.MonkeyPatch, text: str, instant: datetime
) -> None:
    asked = answers(monkeypatch, resolvers.jobs, "jobs", Record(nodes=[]))
    await ask(schema, "query($t: DateTime) { jobs(filter: {startedAfter: $t}) { nodes { id } } }", t=text)
    read = asked[0]["filter"].started_after
    assert (read, read.tzinfo) == (instant, UTC)


@pytest.mark.parametrize(
    "value", ["2026-01-31T12:00:00", "2026-01-31", "yesterday", "", 1769860800, "0001-01-01T00:00:00+14:00"]
)
async def test_instants_without_an_offset_are_refused(schema: strawberry.Schema, value: Any) -> None:
    query = "query($t: DateTime) { jobs(filter: {startedAfter: $t}) { totalCount } }"
    assert "DateTime cannot represent" in await refusal(schema, query, t=value)


async def test_syntax_errors_are_reported_each_time(schema: strawberry.Schema) -> None:
    for _ in range(2):
        assert "Syntax Error" in await refusal(schema, "{ viewer {")


async def test_syntax_errors_do_not_break_a_stream(schema: strawberry.Schema) -> None:
    context = SimpleNamespace(budget=Budget(OperationLimits()))
    results = [result async for result in await schema.subscribe("subscription {", context_value=context)]
    assert len(results) == 1
    assert results[0].errors is not None
    assert "Syntax Error" in results[0].errors[0].message
