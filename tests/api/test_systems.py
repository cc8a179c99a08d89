"""Systems, what hides with one that is taken out of the configuration, and the whole way from a source to HTTP."""

from typing import Any

import aiohttp

from connectory.config.settings import ServerSettings
from connectory.engine import ConfiguredSystem, Engine
from connectory.model import Capability, JobStatus, Observation, SystemErrorCode
from connectory.store import Store
from connectory.store.tables.identity import CONNECTOR, JOB, SYSTEM, global_id
from connectory.web.app import build_app
from connectory.web.serving import serving
from sources.base import SourceUnreachable
from tests.api.gateway import Client
from tests.api.world import NOW, Asker, World, begin
from tests.facts import Scripted, at, configured, connector, job
from tests.wait import until


async def test_systems_by_name_and_in_the_order_of_their_names(ask: Asker, world: World) -> None:
    found = (await ask("{ systems { id name kind health } }"))["systems"]
    expected = [
        {"id": system.id, "name": system.name, "kind": system.kind, "health": system.health.name}
        for system in sorted(world.systems, key=lambda system: system.name)
    ]
    assert found == expected
    one = "query($n: String!) { system(name: $n) { name } }"
    for name in ("alpha", "zeta"):
        assert (await ask(one, n=name))["system"] == {"name": name}
    for name in ("eta", "ALPHA", "", "\x00", "nobody"):
        assert (await ask(one, n=name))["system"] is None


async def test_what_a_system_says_of_its_polls(store: Store) -> None:
    query = """{ system(name: "alpha") { health lastPollAt lastSuccessAt nextPollAt consecutiveFailures capabilities
                 lastError { code message at } } }"""
    writer = await begin(store)

    async def shown() -> dict[str, Any]:
        found: dict[str, Any] = (await Asker(store)(query))["system"]
        return found

    assert await shown() == {
        "health": "UNKNOWN", "lastPollAt": None, "lastSuccessAt": None, "nextPollAt": None, "consecutiveFailures": 0,
        "capabilities": [Capability.JOB_HISTORY.name], "lastError": None,
    }  # fmt: skip
    await writer.poll(at(0), [])
    assert (await shown())["lastSuccessAt"] == at(0).isoformat()
    for n in (1, 2):
        await writer.fail(at(n), SystemErrorCode.TLS)
    failed = await shown()
    assert (failed["health"], failed["consecutiveFailures"]) == ("DOWN", 2)
    assert failed["lastError"] == {"code": "TLS", "message": "it said TLS", "at": at(2).isoformat()}
    assert (failed["lastPollAt"], failed["lastSuccessAt"]) == (at(2).isoformat(), at(0).isoformat())
    await writer.poll(at(3), [])
    assert (await shown())["lastError"] is None


EVERYTHING = """query($ids: [ID!]!, $connectors: [ID!], $jobs: [ID!]) {
    systems { name } connectors(filter: {includeRemoved: true}) { totalCount countBy(field: SYSTEM) { value } }
    named: connectors(filter: {systems: ["beta"]}) { totalCount }
    jobs(filter: {connectorIds: $connectors}) { totalCount }
    events(filter: {jobIds: $jobs}) { nodes { kind } } nodes(ids: $ids) { id }
    sourceSummaries { source runningJobs } }"""


async def test_a_system_taken_out_of_the_configuration_hides_with_all_that_is_its_own(store: Store) -> None:
    source = Scripted()
    source.says = Observation(connectors=[connector()], jobs=[job("1", status=JobStatus.RUNNING)])
    ids = [global_id(SYSTEM, "beta"), global_id(CONNECTOR, "beta", "a"), global_id(JOB, "beta", "1")]
    ask = Asker(store, NOW)

    async def look() -> Any:
        return await ask(EVERYTHING, ids=ids, connectors=ids[1:2], jobs=ids[2:])

    async def run(*systems: ConfiguredSystem) -> None:
        engine = Engine(store, systems)
        await engine.start()
        try:
            await until(lambda: _polled(ask, [system.name for system in systems]))
        finally:
            await engine.stop()

    await run(configured(source, "beta"))
    shown = await look()
    assert shown["jobs"]["totalCount"] == shown["named"]["totalCount"] == 1
    assert [node["id"] for node in shown["nodes"]] == ids
    assert shown["events"]["nodes"] == [{"kind": "JOB_CREATED"}]
    assert shown["sourceSummaries"] == [{"source": "web", "runningJobs": 1}]
    cursor = (await ask("{ eventCursor }"))["eventCursor"]
    await run(configured(Scripted(), "alpha"))
    hidden = await look()
    assert hidden["systems"] == [{"name": "alpha"}]
    assert hidden["connectors"] == {"totalCount": 0, "countBy": []}
    assert (hidden["jobs"]["totalCount"], hidden["named"]["totalCount"]) == (0, 0)
    assert hidden["nodes"] == [None, None, None]
    assert hidden["events"]["nodes"] == hidden["sourceSummaries"] == []
    later = "query($c: String) { events(after: $c) { nodes { __typename ... on SystemEvent { system { name } } } } }"
    assert (await ask(later, c=cursor))["events"]["nodes"] == [
        {"__typename": "SystemEvent", "system": {"name": "alpha"}}
    ]
    await run(configured(source, "beta"))
    back = await look()
    assert back["nodes"] == shown["nodes"]
    assert back["events"] == shown["events"]
    assert back["connectors"] == shown["connectors"]


async def _polled(ask: Asker, names: list[str]) -> bool:
    systems = (await ask("{ systems { name lastSuccessAt } }"))["systems"]
    return [system["name"] for system in systems if system["lastSuccessAt"]] == names


# ---- over HTTP, with the engine at work

LOOK = """query Look($f: ConnectorFilter, $n: Long) {
    systems { name health } connectors(filter: $f, first: 2) { totalCount nodes { name docsIndexed isStale } }
    many: connectors(filter: {docsIndexed: {gte: $n}}) { totalCount } eventCursor }"""


async def test_from_a_source_to_an_answer_over_http(store_url: str) -> None:
    good, bad = Scripted(), Scripted()
    good.says = Observation(connectors=[connector(str(n), name=f"🚀 {n}", docs_indexed=2**40 + n) for n in range(3)])
    bad.says = SourceUnreachable("nobody is there")
    store = Store(store_url)
    systems = [configured(good, "good", rolls_up=frozenset()), configured(bad, "bad")]
    engine = Engine(store, systems)
    app = build_app(store, engine, ServerSettings.model_validate({"port": 0}))
    async with serving(app, "127.0.0.1", 0) as url, aiohttp.ClientSession() as session:
        client = Client(url, session, app, engine)

        async def settled() -> Any:
            status, body = await client.ask(LOOK, variables={"f": {"nameContains": "🚀"}, "n": 2**40 + 1})
            assert status == 200, body
            return body["data"] if {s["health"] for s in body["data"]["systems"]} == {"UP", "DOWN"} else None

        data = await until(settled)
        assert data["connectors"] == {
            "totalCount": 3,
            "nodes": [{"name": f"🚀 {n}", "docsIndexed": 2**40 + n, "isStale": False} for n in range(2)],
        }
        assert data["many"]["totalCount"] == 2
        status, body = await client.ask("{ connectors(first: 0) { totalCount } systems { name } }")
        assert status == 200
        assert [error["extensions"]["code"] for error in body["errors"]] == ["BAD_USER_INPUT"]
        assert [system["name"] for system in body["data"]["systems"]] == ["bad", "good"]
        assert body["data"]["connectors"] is None
        status, body = await client.ask(LOOK, variables={"n": "many"})
        assert (status, body["errors"][0]["extensions"]["code"]) == (400, "BAD_USER_INPUT")
        assert "data" not in body
