"""The program as people run it: ``connectory serve`` in a process of its own, with a configuration file."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from sources.base import SourceKind
from tests.paths import ROOT
from tests.wait import until


class Program:
    """A running ``connectory serve``."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self._log = log
        self.url = ""

    @property
    def output(self) -> str:
        return self._log.read_text()

    async def ready(self) -> None:
        """Return once it serves."""

        async def look() -> re.Match[str] | None:
            assert self.process.returncode is None, self.output
            return re.search(r"is at (\S+)/graphql", self.output)

        found = await until(look, within=60)
        assert found is not None
        self.url = found[1]

    async def kill(self) -> None:
        """SIGKILL: nothing is tidied up."""
        if self.process.returncode is None:
            self.process.kill()
        await asyncio.wait_for(self.process.wait(), 10)

    async def ask(self, session: aiohttp.ClientSession, query: str) -> Any:
        """The data of an answer without errors."""
        async with session.post(f"{self.url}/graphql", json={"query": query}) as response:
            answer = await response.json(content_type=None)
        assert "errors" not in answer, answer
        return answer["data"]


def configuration(folder: Path, store: str, *systems: Mapping[str, Any], **engine: float) -> Path:
    """A configuration file, written into ``folder``."""
    tables: dict[str, Mapping[str, Any]] = {"server": {"port": 0}, "store": {"url": store}, "engine": engine}
    lines = [f"[{name}]\n{_keys(table)}" for name, table in tables.items()]
    lines += [f"[[systems]]\n{_keys(system)}" for system in systems]
    file = folder / "connectory.toml"
    file.write_text("\n".join(lines))
    return file


def _keys(table: Mapping[str, Any]) -> str:
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())


def system(kind: SourceKind, name: str, url: str, **more: Any) -> dict[str, Any]:
    """The entry that opens the simulator of ``kind`` at ``url``."""
    assert kind.simulator_settings is not None
    return {"name": name, "kind": kind.name, **kind.simulator_settings(url), **more}


@asynccontextmanager
async def serving(file: Path) -> AsyncIterator[Program]:
    """The program, just started; killed at the end."""
    log = file.with_name("log.txt")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CONNECTORY_")}
    with log.open("w") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "connectory", "serve", "--config", str(file),
            env={**kept, "PYTHONPATH": str(ROOT)}, cwd=file.parent, stdout=out, stderr=out,
        )  # fmt: skip
    program = Program(process, log)
    try:
        yield program
    finally:
        await program.kill()
