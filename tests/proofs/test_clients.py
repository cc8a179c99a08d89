"""Live answers as other people's clients see them: each follows a job to its end, on Node.js.

Size: six clients; FULL=1: the same.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
import pytest_asyncio
from graphql import build_schema, parse, print_ast, validate
from yarl import URL

from connectory.model import JobStatus
from tests.e2e.bridge import Bridge
from tests.e2e.node import WEB, Gateway, Item, Outcome, program, started
from tests.live.running import Running, job_id, running
from tests.paths import ROOT
from tests.wait import until

#: Programs in ``web/clients``.
CLIENTS = ("apollo", "graphql-sse", "graphql-ws", "relay", "urql-sse", "urql-ws")
#: What an event says of its moment, as ``Query.events`` tells it too.
MOMENT = ("cursor", "kind", "jobStatus", "processed")


@dataclass
class Followed:
    """A job that has ended, and what became of the clients that followed it."""

    job: str
    outcomes: dict[str, Outcome]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """A gateway over a system with one job that runs."""
    store_url = f"sqlite:///{tmp_path_factory.mktemp('clients') / 'connectory.db'}"
    async with running(store_url, every=0.1) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(system: Running) -> Gateway:
    return Gateway(f"{system.client.url}/graphql", system.client.session)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def followed(system: Running, gateway: Gateway) -> Followed:
    """A job that all clients followed together: it goes on once they are there, and then ends."""
    job = job_id()
    async with AsyncExitStack() as stack:
        tasks = {name: await stack.enter_async_context(program(name, gateway.endpoint, job)) for name in CLIENTS}

        async def all_there() -> bool:
            ended = sum(task.done() for task in tasks.values())  # whoever fails does not keep the others waiting
            return system.held()["subscribers"] + ended == len(CLIENTS)

        await until(all_there, within=60)
        for processed in (2, 3, 4):
            system.go(["j"], processed)
            await system.reach(processed)
        system.go(["j"], 5, JobStatus.SUCCEEDED)
        # Whoever has not noticed by then never will: it is killed, and its status tells.
        await asyncio.wait(tasks.values(), timeout=30)
    return Followed(job, {name: task.result() for name, task in tasks.items()})


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_job_is_followed_to_its_end(gateway: Gateway, followed: Followed, client: str) -> None:
    outcome = followed.outcomes[client]
    assert outcome.status == 0, outcome.complaint
    opening, *changes = [{name: item[name] for name in MOMENT} for item in outcome.items]
    log = await gateway.log(job=followed.job)
    later = await gateway.log(after=opening["cursor"], job=followed.job)

    before = log[: len(log) - len(later)][-1]
    assert opening["kind"] == "JOB_PROGRESSED"
    assert (opening["jobStatus"], opening["processed"]) == (before["jobStatus"], before["processed"])
    assert changes[-1]["kind"] == "JOB_FINISHED"
    assert changes == later
    assert len(changes) > 3
    assert {item["job"]["id"] for item in outcome.items} == {followed.job}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("client", CLIENTS)
async def test_of_a_job_that_has_ended_the_end_is_told(gateway: Gateway, followed: Followed, client: str) -> None:
    async with program(client, gateway.endpoint, followed.job) as running:
        outcome = await asyncio.wait_for(running, 20)
    assert outcome.status == 0, outcome.complaint
    assert [item["kind"] for item in outcome.items] == ["JOB_FINISHED"]
    last = (await gateway.log(job=followed.job))[-1]
    assert outcome.items[0]["processed"] == last["processed"]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("client", CLIENTS)
async def test_an_unknown_job_is_a_clear_error(gateway: Gateway, client: str) -> None:
    async with program(client, gateway.endpoint, "nobody") as running:
        outcome = await asyncio.wait_for(running, 20)
    assert outcome.status == 1
    assert outcome.items == []
    assert "'nobody' is not the id of a job." in outcome.complaint


@pytest.mark.asyncio(loop_scope="module")
async def test_clients_go_on_after_breaks(system: Running, gateway: Gateway) -> None:
    """One of each transport, at once: they take seconds to come back."""
    system.keep_going("k")
    start = await gateway.cursor()
    transports = ("ws", "sse")
    for transport, seen in zip(
        transports, await asyncio.gather(*(over_breaks(gateway, name, start) for name in transports)), strict=True
    ):
        log = [{"cursor": event["cursor"], "kind": event["kind"]} for event in await gateway.log(after=start)]
        assert seen == log[: len(seen)], transport


async def over_breaks(gateway: Gateway, transport: str, start: str) -> list[Item]:
    """What a client prints that is cut off three times."""
    seen: list[Item] = []
    async with Bridge(URL(gateway.endpoint)) as bridge, started("resume", transport, str(bridge.url), start) as process:
        assert process.stdout is not None
        for _ in range(3):
            for _ in range(5):
                seen.append(json.loads(await asyncio.wait_for(process.stdout.readline(), 30)))
            opened = bridge.opened
            bridge.cut()
            # Those that were under way when it was cut are told here or after the break, never both.
            while bridge.opened == opened:
                seen.append(json.loads(await asyncio.wait_for(process.stdout.readline(), 30)))
    return seen


@pytest.mark.asyncio(loop_scope="module")
async def test_ordinary_operations_of_urql(gateway: Gateway) -> None:
    """It offers ``text/event-stream`` with all of them."""
    async with program("urql-queries", gateway.endpoint) as running:
        outcome = await asyncio.wait_for(running, 20)
    assert outcome.status == 0, outcome.complaint
    by_post, by_get, mutation = outcome.items
    assert by_post["data"] == {"systems": [{"name": "scripted"}]}
    assert by_get == by_post
    assert mutation == {"data": {"refreshSystem": {"__typename": "ActionFailed"}}}


def test_what_relay_compiled_is_what_stands_there() -> None:
    """``npm run relay`` in ``web/`` compiles it anew."""
    written = re.search(r"graphql`(.*?)`", (WEB / "clients" / "relay.js").read_text(), re.S)
    (artifact,) = (WEB / "clients" / "__generated__").iterdir()
    compiled = re.search(r'"text": (".*")', artifact.read_text())
    assert written is not None
    assert compiled is not None
    document = parse(json.loads(compiled[1]))
    assert print_ast(document) == print_ast(parse(written[1]))
    assert validate(build_schema((ROOT / "schema" / "schema.graphql").read_text()), document) == []
