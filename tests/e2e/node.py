"""Programs of ``web/clients`` on Node.js, and the gateway that they are tried on."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientSession

from tests.missing import missing
from tests.paths import ROOT

WEB = ROOT / "web"

Item = dict[str, Any]


@dataclass
class Outcome:
    """How a program ended, and what it printed."""

    status: int
    items: list[Item]
    complaint: str


@dataclass
class Gateway:
    """A gateway, asked by ordinary queries."""

    endpoint: str
    http: ClientSession

    async def ask(self, query: str, **variables: Any) -> Any:
        async with self.http.post(self.endpoint, json={"query": query, "variables": variables}) as response:
            answer = await response.json(content_type=None)
        assert "errors" not in answer, answer
        return answer["data"]

    async def log(self, after: str | None = None, job: str | None = None) -> list[Item]:
        """The events after a cursor, of one job or of everything."""
        query = """query ($filter: EventFilter, $after: String) { events(filter: $filter, first: 1000, after: $after) {
            nodes { cursor kind ... on JobEvent { jobStatus processed } } } }"""
        only = None if job is None else {"jobIds": [job]}
        nodes: list[Item] = (await self.ask(query, filter=only, after=after))["events"]["nodes"]
        return nodes

    async def cursor(self) -> str:
        """The present end of the log."""
        cursor: str = (await self.ask("{ eventCursor }"))["eventCursor"]
        return cursor


@asynccontextmanager
async def started(name: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """One of ``web/clients``, running; killed at the end of the block if it is still there."""
    node = shutil.which("node")
    if node is None or not (WEB / "node_modules" / "relay-runtime").is_dir():
        missing("Node.js build", "run 'make graphiql' where Node.js and npm are installed")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        node, f"clients/{name}.js", *arguments, cwd=WEB, stdout=pipe, stderr=pipe
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def program(name: str, *arguments: str) -> AsyncIterator["asyncio.Task[Outcome]"]:
    """The same, and the outcome once it has ended."""

    async def outcome(process: asyncio.subprocess.Process) -> Outcome:
        printed, complaint = await process.communicate()
        assert process.returncode is not None
        # A program that was killed may have printed half a line.
        lines = printed.splitlines() if process.returncode >= 0 else []
        return Outcome(process.returncode, [json.loads(line) for line in lines], complaint.decode())

    async with started(name, *arguments) as process:
        task = asyncio.create_task(outcome(process))
        try:
            yield task
        finally:
            if process.returncode is None:
                process.kill()
            await asyncio.wait([task])
