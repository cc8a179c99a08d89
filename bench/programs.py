"""Programs of a measurement in processes of their own: commands go in by standard input, answers by standard output.

Both are lines of JSON. A program ends when its standard input does.
"""

import asyncio
import contextlib
import json
import resource
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

#: Bytes of one line, at most.
_LINE = 1 << 26
#: Seconds that a program gets to end by itself.
_FAREWELL = 10.0


class Program:
    """A running program, as seen by the one that started it."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._name, self._in, self._out = name, process.stdin, process.stdout

    async def do(self, command: str, **arguments: Any) -> Any:
        """What the program answers. Raises RuntimeError when it fails or has ended."""
        self._in.write(json.dumps({"do": command, **arguments}).encode() + b"\n")
        await self._in.drain()
        line = await self._out.readline()
        if not line:
            raise RuntimeError(f"{self._name} has ended")
        answer = json.loads(line)
        if "failed" in answer:
            raise RuntimeError(f"{self._name} failed to {command}: {answer['failed']}")
        return answer["answer"]


@asynccontextmanager
async def program(name: str, *arguments: str) -> AsyncIterator[Program]:
    """Run ``bench/NAME`` for as long as the block runs."""
    pipe = asyncio.subprocess.PIPE
    path = str(Path(__file__).parent / name)
    process = await asyncio.create_subprocess_exec(
        sys.executable, path, *arguments, stdin=pipe, stdout=pipe, limit=_LINE
    )
    try:
        yield Program(name, process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _FAREWELL)
        if process.returncode is None:
            process.kill()
            await process.wait()


# ---- in the program


async def obey(commands: Mapping[str, Callable[..., Awaitable[Any]]]) -> None:
    """Carry out one command after the other until there are no more."""
    reader = asyncio.StreamReader(limit=_LINE)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        asked = json.loads(line)
        try:
            answer = {"answer": await commands[asked.pop("do")](**asked)}
        except Exception as error:
            answer = {"failed": repr(error)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def allow_many_files() -> None:
    """As many sockets as this user may open."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a program; where its last argument is ``uvloop``, on that event loop."""
    loop = import_module("uvloop").new_event_loop if sys.argv[-1] == "uvloop" else None
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())
