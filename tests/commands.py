"""The command line as users meet it: processes of their own, with what they print and how they end.

They are forked from one process that has imported before what most commands need, which takes longer than most of them
take for anything else. That each command imports what it needs is for ``test_start.py`` to show, and that the installed
one is this one for ``test_cli.py``.
"""

import asyncio
import atexit
import codecs
import contextlib
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from importlib import import_module
from pathlib import Path

from tests.paths import ROOT
from tests.wait import until

_IMPORTED = (
    "alembic.command",
    "asyncpg",
    "connectory.commands.check",
    "connectory.commands.demo",
    "connectory.commands.gateway",
)
#: Bytes of a command's arguments and environment.
_LONGEST = 1 << 17
#: How the process, and then its status, is told.
_NUMBER = struct.Struct("i")


class Command:
    """A process, with what ``asyncio.subprocess.Process`` has of it."""

    def __init__(self, pid: int, status_pipe: asyncio.StreamReader) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ends = asyncio.create_task(self._end(status_pipe))

    async def _end(self, status_pipe: asyncio.StreamReader) -> int:
        (self.returncode,) = _NUMBER.unpack(await status_pipe.readexactly(_NUMBER.size))
        return self.returncode

    async def wait(self) -> int:
        return await asyncio.shield(self._ends)

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Running:
    """A command that was started; what it wrote so far is in ``out`` and ``err``."""

    def __init__(self, process: Command, out: asyncio.StreamReader, err: asyncio.StreamReader) -> None:
        self.process = process
        self.out = ""
        self.err = ""
        self._readers = [asyncio.create_task(self._read(out, "out")), asyncio.create_task(self._read(err, "err"))]

    async def _read(self, stream: asyncio.StreamReader, name: str) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")()  # a character may come in two pieces
        while chunk := await stream.read(4096):
            setattr(self, name, getattr(self, name) + decoder.decode(chunk))

    async def says(self, pattern: str) -> re.Match[str]:
        async def look() -> re.Match[str] | None:
            assert self.process.returncode is None, self.err
            return re.search(pattern, self.out) or re.search(pattern, self.err)

        found = await until(look, within=30)
        assert found is not None
        return found

    async def end(self) -> int:
        status = await asyncio.wait_for(self.process.wait(), 60)
        await asyncio.gather(*self._readers)
        return status


@asynccontextmanager
async def started(*arguments: str, cwd: Path, **environ: str) -> AsyncIterator[Running]:
    """``connectory`` with these arguments, in this folder, with our environment but for what is about us in it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CONNECTORY_")}
    request = {"arguments": arguments, "cwd": str(cwd), "environ": kept | _ENVIRON | environ}
    pipes = [os.pipe() for _ in range(3)]
    socket.send_fds(_origin(), [json.dumps(request).encode()], [write for _, write in pipes])
    for _, write in pipes:
        os.close(write)
    async with contextlib.AsyncExitStack() as stack:
        out, err, status_pipe = [await _reading(read, stack) for read, _ in pipes]
        (pid,) = _NUMBER.unpack(await status_pipe.readexactly(_NUMBER.size))
        running = Running(Command(pid, status_pipe), out, err)
        try:
            yield running
        finally:
            running.process.kill()
            await running.end()


async def run(*arguments: str, cwd: Path, **environ: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error. A traceback is never right."""
    async with started(*arguments, cwd=cwd, **environ) as running:
        status = await running.end()
    assert "Traceback" not in running.out + running.err
    return status, running.out, running.err


async def _reading(pipe: int, stack: contextlib.AsyncExitStack) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(pipe, "rb")
    )
    stack.callback(transport.close)
    return reader


# ---- the process that they are forked from

_ENVIRON = {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}


@cache
def _origin() -> socket.socket:
    """Where it is asked. It ends with us."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.commands", str(its.fileno())],
            pass_fds=[its.fileno()], cwd=ROOT, env=os.environ | _ENVIRON, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _fork_what_is_asked_for(asked: socket.socket) -> None:
    for name in _IMPORTED:
        import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        request, pipes, _, _ = socket.recv_fds(asked, _LONGEST, 3)
        if not request:
            return
        if os.fork() == 0:
            asked.close()
            _watch(json.loads(request), *pipes)
            return
        for pipe in pipes:
            os.close(pipe)


def _watch(request: dict[str, object], out: int, err: int, status_pipe: int) -> None:
    """Be the parent of one command: only a parent hears how its child has ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        os.close(status_pipe)
        _become(request, out, err)
        return
    for pipe in (out, err):
        os.close(pipe)
    os.write(status_pipe, _NUMBER.pack(pid))
    _, status = os.waitpid(pid, 0)
    os.write(status_pipe, _NUMBER.pack(os.waitstatus_to_exitcode(status)))
    os._exit(0)


def _become(request: dict[str, object], out: int, err: int) -> None:
    """The command itself; it ends as any program does."""
    for pipe, number in ((out, 1), (err, 2)):
        os.dup2(pipe, number)
        os.close(pipe)
    os.chdir(str(request["cwd"]))
    os.environ.clear()
    os.environ.update(request["environ"])  # type: ignore[call-overload]
    sys.path[:0] = [each for each in os.environ["PYTHONPATH"].split(os.pathsep) if each not in sys.path]
    sys.argv = ["connectory", *request["arguments"]]  # type: ignore[misc]
    import_module("connectory.commands.cli").main()


if __name__ == "__main__":
    _fork_what_is_asked_for(socket.socket(fileno=int(sys.argv[1])))
