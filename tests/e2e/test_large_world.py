"""The large world on a small scale: its store holds exactly what the world holds, and an idle poll asks for little."""

import re

from tests.e2e.bench import ran


async def test_large_world() -> None:
    status, said = await ran("large_world.py", "--connectors", "500", "--jobs", "20", within=110)
    assert status == 0, said
    idle = re.search(r"an idle poll: \S+ s, (\d+) requests", said)
    assert idle is not None, said
    assert int(idle[1]) <= 10
    held = re.search(r"store: (\d+) connectors, (\d+) jobs", said)
    assert held is not None, said
    assert int(held[1]) == 500
    assert int(held[2]) > 5000
