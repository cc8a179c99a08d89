"""A PostgreSQL of the test's own, which it may restart."""

import asyncio
import os
import pwd
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from tests.missing import missing
from tests.wait import until

#: What a power cut does is not tested, so nobody waits for the disk.
_OPTIONS = ("listen_addresses=127.0.0.1", "fsync=off", "synchronous_commit=off", "log_min_messages=error")


class Cluster:
    """Runs as whoever may run one: PostgreSQL refuses to as root."""

    def __init__(self, tools: Path, folder: Path, port: int) -> None:
        self._tools, self._folder, self._port = tools, folder, port
        self._process: asyncio.subprocess.Process | None = None
        self.url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(folder, owner.pw_uid, owner.pw_gid)
            self._as = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}

    async def make(self) -> None:
        made = await self._run("initdb", "-D", "data", "-U", "postgres", "-A", "trust", "--no-sync")
        assert await made.wait() == 0

    async def start(self) -> None:
        options = [word for option in _OPTIONS for word in ("-c", option)]
        self._process = await self._run("postgres", "-D", "data", "-p", str(self._port), "-k", "", *options)
        await until(self._answers, within=60)

    async def stop(self) -> None:
        """At once for everybody who is connected."""
        if self._process is not None:
            self._process.send_signal(2)
            await asyncio.wait_for(self._process.wait(), 60)
            self._process = None

    async def _run(self, tool: str, *arguments: str) -> asyncio.subprocess.Process:
        quiet = asyncio.subprocess.DEVNULL
        where: dict[str, Any] = {"cwd": self._folder, "stdout": quiet, "stderr": quiet, "env": {"LC_ALL": "C"}}
        return await asyncio.create_subprocess_exec(self._tools / tool, *arguments, **where, **self._as)

    async def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, "the server has ended"
        try:
            connection = await asyncpg.connect(self.url, timeout=5)
        except (OSError, asyncpg.PostgresError):
            return False
        await connection.close()
        return True


def _tools() -> list[Path]:
    """Where the server's programs are, the newest first; Debian keeps them from the path."""
    found = shutil.which("initdb")
    return [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


@asynccontextmanager
async def cluster(port: int) -> AsyncIterator[Cluster]:
    """A running one; skips the test where the server's programs are not there."""
    found = _tools()
    if not found:
        missing("PostgreSQL", "install the server's programs, initdb and postgres")
    folder = Path(tempfile.mkdtemp(prefix="connectory-cluster-"))
    running = Cluster(found[0], folder, port)
    try:
        await running.make()
        await running.start()
        yield running
    finally:
        await running.stop()
        shutil.rmtree(folder, ignore_errors=True)
