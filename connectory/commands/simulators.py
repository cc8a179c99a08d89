"""Simulated upstream systems, served: what ``simulate`` runs alone and ``demo`` runs all of."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from connectory.web.serving import serving
from sources import registry
from sources.base import SourceKind
from sources.simulation import Clock


def simulated_kinds() -> dict[str, SourceKind]:
    """The kinds that bring a simulator, by name."""
    return {
        name: kind
        for name, kind in sorted(registry.kinds().items())
        if kind.simulator is not None and kind.simulator_settings is not None
    }


@asynccontextmanager
async def simulating(
    kind: SourceKind, *, host: str = "127.0.0.1", port: int = 0, speed: float = 1.0, seed: int = 0
) -> AsyncIterator[str]:
    """Serve the simulator of ``kind``; gives its URL. Raises CannotListen."""
    assert kind.simulator is not None
    app = kind.simulator(seed=seed, clock=Clock(speed=speed))
    async with serving(app, host, port, access_log=False) as url:
        yield url


def system(kind: SourceKind, url: str) -> dict[str, Any]:
    """The ``[[systems]]`` entry that opens the simulator at ``url``."""
    assert kind.simulator_settings is not None
    return {"name": f"{kind.name}-demo", "kind": kind.name, **kind.simulator_settings(url)}


def snippet(entry: dict[str, Any]) -> str:
    """``entry`` as TOML. Texts, numbers, booleans and lists of them are spelled as in JSON; ${ is written $${."""
    lines = [f"{key} = {json.dumps(value).replace('${', '$${')}" for key, value in entry.items() if value is not None]
    return "\n".join(["[[systems]]", *lines])
