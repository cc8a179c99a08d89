"""An empty cursor is none, wherever one may be given, as an empty filter is no criterion."""

from typing import Any

import pytest
from graphql import GraphQLNamedType, build_schema, get_named_type

from tests.api.world import Asker
from tests.paths import ROOT

PAGE = "edges { cursor } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"
#: How each list of the schema is reached; an argument list stands for ``%s``.
LISTS = {
    "Query.connectors": f"{{ connectors(%s) {{ {PAGE} currentPage }} }}",
    "Query.jobs": f"{{ jobs(%s) {{ {PAGE} currentPage }} }}",
    "Query.notices": f"{{ notices(%s) {{ {PAGE} }} }}",
    "Query.events": f"{{ events(%s) {{ {PAGE} }} }}",
    "Connector.jobs": f"{{ connectors(first: 5) {{ nodes {{ jobs(%s) {{ {PAGE} currentPage }} }} }} }}",
    "System.connectors": f"{{ systems {{ connectors(%s) {{ {PAGE} currentPage }} }} }}",
    "System.outages": f"{{ systems {{ outages(%s) {{ {PAGE} }} }} }}",
    "SourceSummary.connectors": f"{{ sourceSummaries {{ connectors(%s) {{ {PAGE} currentPage }} }} }}",
    "Job.errors": f"{{ jobs(first: 50) {{ nodes {{ errors(%s) {{ {PAGE} }} }} }} }}",
}
#: Those of subscriptions have tests of their own, over both transports.
FOLLOWED = {"Subscription.events", "Subscription.jobProgress"}


def arguments() -> dict[str, set[str]]:
    """Which fields of the schema take which cursors."""
    found: dict[str, set[str]] = {}
    schema = build_schema((ROOT / "schema" / "schema.graphql").read_text())
    for type_ in schema.type_map.values():
        for name, field in getattr(type_, "fields", {}).items():
            taken = {"after", "before"} & set(getattr(field, "args", {}))
            if taken and is_text(field.args):
                found[f"{type_.name}.{name}"] = taken
    return found


def is_text(args: dict[str, Any]) -> bool:
    named: GraphQLNamedType = get_named_type(args["after"].type)
    return named.name == "String"


def test_every_field_that_takes_a_cursor_is_tried() -> None:
    assert set(arguments()) == set(LISTS) | FOLLOWED


@pytest.mark.parametrize("field", LISTS)
async def test_an_empty_cursor_of_a_list_is_none(ask: Asker, field: str) -> None:
    query, taken = LISTS[field], arguments()[field]
    expected = await ask(query % "first: 3")
    assert await ask(query % 'first: 3, after: ""') == expected
    if "before" in taken:
        assert await ask(query % 'first: 3, after: "", before: ""') == expected
        assert await ask(query % 'last: 3, before: ""') == await ask(query % "last: 3")
    if "currentPage" in query:
        assert await ask(query % 'first: 3, offset: 3, after: ""') == await ask(query % "first: 3, offset: 3")
