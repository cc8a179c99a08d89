"""However many rows an operation shows, it asks the store a constant number of times."""

from connectory.model import JobStatus
from connectory.store import Store
from tests.api.world import NOW, Asker, World, Writer, begin
from tests.facts import at, connector, details, job

EVERYTHING = """{ connectors(first: 1000) { totalCount pageInfo { hasNextPage } countBy(field: STATUS) { value count }
  nodes { id name status health isStale system { name health } conditions { code message }
    latestJob { id status } lastFinishedJob { id }
    details { ... on OtherConnectorDetails { data } }
    jobs(first: 5) { totalCount nodes { id status progress { percent } counts { indexed } startedAt } } } } }"""
#: Two for the snapshot and the list, one each for the total, the facet, the conditions, the newest jobs, the newest
#: that have ended, the jobs and their totals.
STATEMENTS = 9


async def fill(writer: Writer, count: int) -> None:
    names = [f"{n:04}" for n in range(count)]
    said = details("OtherConnectorDetails", {"data": {"key": "value"}})
    facts = [connector(name, details=said) for name in names]
    jobs = [
        job(
            f"{name}-{n}",
            name,
            JobStatus.RUNNING if n == 5 else JobStatus.SUCCEEDED,
            order_at=at(n),
            processed=n,
            total=6,
        )
        for name in names
        for n in range(6)
    ]
    await writer.poll(NOW, facts, jobs)


async def test_a_thousand_connectors_cost_as_many_statements_as_ten(store: Store) -> None:
    writer, ask = await begin(store), Asker(store)
    await fill(writer, 10)
    assert len((await ask(EVERYTHING))["connectors"]["nodes"]) == 10
    few = ask.statements
    await fill(writer, 1000)
    nodes = (await ask(EVERYTHING))["connectors"]["nodes"]
    assert len(nodes) == 1000
    assert {(node["jobs"]["totalCount"], len(node["jobs"]["nodes"])) for node in nodes} == {(6, 5)}
    assert {node["lastFinishedJob"]["id"] == node["jobs"]["nodes"][1]["id"] for node in nodes} == {True}
    assert {node["latestJob"]["id"] == node["jobs"]["nodes"][0]["id"] for node in nodes} == {True}
    assert {each["progress"]["percent"] for node in nodes for each in node["jobs"]["nodes"][:1]} == {500 / 6}
    assert ask.statements == few == STATEMENTS


async def test_every_part_of_nested_pages_is_read_for_all_at_once(ask: Asker) -> None:
    """Page numbers and facets too, forwards and backwards, of connectors under systems and of jobs under those."""
    page = "totalCount currentPage totalPages pageInfo { endCursor }"
    jobs = f"{page} countBy(field: STATUS) {{ count }} nodes {{ connector {{ name }} errors {{ totalCount }} }}"
    query = f"""query($first: Int, $last: Int) {{ systems {{ totalConnectors runningJobs
        connectors(first: $first, last: $last) {{ {page} countBy(field: SOURCE) {{ count }}
            nodes {{ latestJob {{ id }} jobs(first: $first, last: $last) {{ {jobs} }} }} }} }} }}"""
    counts = set()
    for size in ({"first": 1}, {"first": 50}, {"last": 1}, {"last": 50}):
        await ask(query, **size)
        counts.add(ask.statements)
    assert counts == {13}


async def test_ids_that_are_asked_for_before_anything_else(ask: Asker, world: World) -> None:
    """The first fields of an operation wait for its snapshot together, and are read together all the same."""
    ids = [*(row.id for row in world.connectors), *(row.id for row in world.jobs)]
    found = await ask("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=ids)
    assert [node["id"] for node in found["nodes"]] == ids
    assert ask.statements == 3
    aliases = " ".join(
        f'a{n}: connector(id: "{row.id}") {{ jobs {{ totalCount }} }}' for n, row in enumerate(world.connectors)
    )
    assert len(await ask(f"{{ {aliases} }}")) == len(world.connectors)
    assert ask.statements == 4


async def test_what_is_not_asked_for_is_not_read(ask: Asker) -> None:
    for query, statements in (
        ("{ systems { name health lastError { message } } eventCursor viewer { name } }", 1),
        ("{ connectors { nodes { id system { name } conditions { code } } pageInfo { hasNextPage } } }", 3),
        ("{ connectors { nodes { id system { name } } pageInfo { hasNextPage } } }", 2),
        ("{ connectors { totalCount totalPages } }", 3),
        ("{ events(first: 1000) { nodes { __typename ... on JobEvent { job { id } } } } }", 3),
        ('{ node(id: "nonsense") { id } }', 1),
    ):
        await ask(query)
        assert ask.statements == statements, query
