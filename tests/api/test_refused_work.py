"""What is refused, and what many ask for at once, costs the others little. Measured by processor time, side by side."""

import asyncio
import gc
import time
import tracemalloc
import zlib

from connectory.store import Store
from tests.api.gateway import Client, served
from tests.api.stand_in import PATIENT, STAND_IN, begun
from tests.api.world import Asker, begin
from tests.facts import at, connector, job
from tests.live.client import SocketClient

MEGABYTE = b" " * (1 << 20)


def fan_out(levels: int) -> str:
    """Under each field two of them, each of which spreads the fragment below."""
    inner = "".join(
        f"fragment F{n} on Connector{{a:latestJob{{connector{{...F{n + 1}}}}}b:latestJob{{connector{{...F{n + 1}}}}}}}"
        for n in range(levels)
    )
    return f"{{connectors{{nodes{{...F0}}}}}}{inner}fragment F{levels} on Connector{{id}}"


#: What a page may well ask for.
ORDINARY = "{ connectors { nodes { " + " ".join(f"a{n}: name" for n in range(200)) + " } } }"


async def seconds(client: Client, query: str) -> float:
    """Of processor time, for one that was never asked."""
    found = []
    for n in range(2):
        begin = time.process_time()
        await client.ask(f"{query} #{time.monotonic()}{n}")
        found.append(time.process_time() - begin)
    return min(found)


async def test_equal_fields_cost_no_more_than_different_ones(sqlite_url: str) -> None:
    async with served(sqlite_url) as client:
        await seconds(client, "{ viewer { name } }")
        equal = "{ connectors { nodes { " + "id " * 2_000 + "} } }"
        assert await seconds(client, equal) < 4 * await seconds(client, ORDINARY)


async def test_fragments_that_fan_out_are_refused_before_anything_is_read_for_them(sqlite_store: Store) -> None:
    writer = await begin(sqlite_store)
    ids = [str(n) for n in range(15)]
    await writer.poll(at(0), [connector(id) for id in ids], [job(id, id) for id in ids])
    asker, query = Asker(sqlite_store), fan_out(8)
    assert len(query) < 735

    async def cost(query: str) -> float:
        begin = time.process_time()
        await asker.try_(query)
        return time.process_time() - begin

    data, (error,) = await asker.try_(query)
    assert data is None
    ordinary = min([await cost(f"{ORDINARY} #{n}") for n in range(3)])
    assert min([await cost(f"{query} #{n}") for n in range(2)]) < ordinary, error.message


async def test_refused_documents_take_no_memory(sqlite_url: str) -> None:
    async with served(sqlite_url) as client:
        for n in range(4):
            await client.ask("{ viewer { name } }")
            if n == 1:
                gc.collect()
                tracemalloc.start()
                before = tracemalloc.get_traced_memory()[0]
            query = f"query Q{n} {{ viewer {{ {'name ' * 12_000} nothing }} }}"
            assert (await client.ask(query))[0] == 400
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
    assert grown < 2_000_000


async def test_the_operations_of_one_socket_take_turns(sqlite_url: str) -> None:
    PATIENT.clear()
    async with (
        served(sqlite_url, STAND_IN, heavy_operations_per_client=10) as client,
        await SocketClient.connect(client.session, client.url) as socket,
    ):
        for _ in range(50):
            await socket.subscribe("{ slow }")
        await socket.send({"type": "ping"})
        assert await socket.receive() == {"type": "pong"}
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(PATIENT) <= 10
        await begun(4)


async def test_a_body_that_unpacks_to_a_thousand_times_its_size_costs_what_an_allowed_one_does(sqlite_url: str) -> None:
    packing = zlib.compressobj(wbits=31)
    bomb = b"".join(packing.compress(MEGABYTE) for _ in range(192)) + packing.flush()
    packing = zlib.compressobj(wbits=31)
    allowed = packing.compress(b'{"query": "{hello}"}'.ljust(len(MEGABYTE))) + packing.flush()
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    async with served(sqlite_url, STAND_IN) as client:

        async def of_body(sent: bytes, status: int) -> float:
            begin = time.process_time()
            async with client.session.post(f"{client.url}/graphql", data=sent, headers=headers) as response:
                assert response.status == status
            for _ in range(100):
                await asyncio.sleep(0)
            return time.process_time() - begin

        cheap = min([await of_body(allowed, 200) for _ in range(4)])
        assert min([await of_body(bomb, 413) for _ in range(3)]) < 6 * cheap
