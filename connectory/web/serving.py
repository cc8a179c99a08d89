"""Serving an application in the foreground: sockets first, then the application, then waiting for a signal."""

import asyncio
import contextlib
import errno
import gc
import logging
import os
import resource
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from aiohttp import web

from connectory.errors import Mistake
from connectory.web.access_log import AccessLogger
from connectory.web.http_server import Runner
from connectory.web.memory import return_what_is_freed, return_what_lies_between
from connectory.web.open_connections import Ended

#: Seconds that open requests have to finish once we are asked to stop.
_LAST_REQUESTS = 1.0
#: Seconds from the signal until we are gone, whatever hangs.
_STOP_WITHIN = 4.5
#: Connections that wait to be accepted, and how many of them one turn of the loop accepts.
_BACKLOG, _AT_ONCE = 1024, 4
#: Files that may be open at once, where the system lets us.
_FILES = 65_536

log = logging.getLogger(__name__)


class CannotListen(Mistake):
    """The address is taken, not ours, or not permitted."""

    @property
    def sentences(self) -> tuple[str, ...]:
        return (f"{self}; --port and --host name another place",)


class Listener(socket.socket):
    """Where connections come in. One for which no file is free is ended at once: it would be asked for again and again
    otherwise, and nobody behind it be served. ``on_no_file`` is told.
    """

    on_no_file: Callable[[], None] = staticmethod(lambda: None)
    #: a file that is given up for as long as it takes to end a connection
    _spare: int | None = None

    def listen(self, backlog: int = _BACKLOG, /) -> None:
        # what the loop says is how many it accepts at once
        super().listen(_BACKLOG)
        self._spare = self._spare or os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def accept(self) -> tuple[socket.socket, Any]:
        try:
            return super().accept()
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE) or self._spare is None:
                raise
        self._give_up_spare()
        with contextlib.suppress(OSError):
            super().accept()[0].close()
            self.on_no_file()
        with contextlib.suppress(OSError):
            self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        raise BlockingIOError  # more in the next turn

    def close(self) -> None:
        super().close()
        self._give_up_spare()

    def _give_up_spare(self) -> None:
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None


def listen(host: str, port: int) -> list[Listener]:
    """A socket for each address of ``host``, all at the same port; 0 takes a free one. Raises CannotListen."""
    sockets: list[Listener] = []
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in dict.fromkeys(found):
            sockets.append(_bound(family, kind, protocol, (address[0], port, *address[2:])))
            port = sockets[0].getsockname()[1]
    except (OSError, UnicodeError) as error:
        for opened in sockets:
            opened.close()
        reason = getattr(error, "strerror", None) or error
        raise CannotListen(f"cannot listen at {host} port {port}: {reason}") from None
    return sockets


def _bound(family: int, kind: int, protocol: int, address: tuple[object, ...]) -> Listener:
    bound = Listener(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.setblocking(False)
        bound.bind(address)
        # a bound port can still be taken by another process until one of them listens
        bound.listen()
    except OSError:
        bound.close()
        raise
    return bound


def url(host: str, port: int) -> str:
    """What to type into a browser on this machine."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"


@asynccontextmanager
async def serving(app: web.Application, host: str, port: int, *, access_log: bool = True) -> AsyncIterator[str]:
    """Serve ``app`` for as long as the block runs; gives its URL. Raises CannotListen before anything else starts, and
    what the application's start raises."""
    sockets = listen(host, port)
    taken = sockets[0].getsockname()[1]
    runner = Runner(
        app,
        handle_signals=False,
        handler_cancellation=True,
        shutdown_timeout=_LAST_REQUESTS,
        access_log_class=AccessLogger,
        access_log=logging.getLogger("connectory.access") if access_log else None,
    )
    try:
        await runner.setup()
        runner.open.fit(_files())
        for bound in sockets:
            bound.on_no_file = partial(runner.open.count, Ended.FILES)
            await web.SockSite(runner, bound, backlog=_AT_ONCE).start()
        yield url(host, taken)
    finally:
        await _clean_up(runner)
        for bound in sockets:
            bound.close()


async def _clean_up(runner: web.AppRunner) -> None:
    start = time.monotonic()
    try:
        async with asyncio.timeout(_STOP_WITHIN):
            await runner.cleanup()
    except TimeoutError:
        log.warning(
            "Stopped without waiting any longer for what still ran.",
            extra={"action": "serving.stop_cut_short", "seconds": round(time.monotonic() - start, 1)},
        )


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run ``main`` until it returns or until SIGTERM or SIGINT; then it is cancelled and may tidy up.

    Further signals are ignored: stopping takes a few seconds at most. SIGHUP is logged and ignored.
    """
    return_what_is_freed()
    asyncio.run(_until_signalled(main))


def _files() -> int:
    """How many this process may open: connections are files, so it is allowed as many as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        return most
    return _FILES if soft == resource.RLIM_INFINITY else soft


async def _until_signalled(main: Callable[[], Awaitable[None]]) -> None:
    task = asyncio.ensure_future(main())
    asked: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        if not asked:
            asked.append(number)
            log.info("Stopping on %s.", number.name, extra={"action": "serving.stop", "signal": number.name})
            task.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    # service managers send it to have a configuration read again, terminals when they are closed
    loop.add_signal_handler(signal.SIGHUP, _ignore, signal.SIGHUP)
    try:
        await task
    except asyncio.CancelledError:
        if not asked:
            raise


def _ignore(number: signal.Signals) -> None:
    log.warning(
        "%s is ignored: to read the configuration again, restart.",
        number.name,
        extra={"action": "serving.signal_ignored", "signal": number.name},
    )


async def forever() -> None:
    """Wait until cancelled: everything has started."""
    # by default the collector walks over everything each time that some hundred objects more have come: a connection
    # has eighty that live for hours, and what is there by now lives as long as we do
    gc.freeze()
    gc.set_threshold(20_000, 5, 50)
    gc.enable()
    await return_what_lies_between()
    await asyncio.get_running_loop().create_future()
