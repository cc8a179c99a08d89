"""Connections to PostgreSQL: the driver reads the address itself, so that what libpq takes in a URL works here too."""

import asyncio
import hashlib
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from connectory.store_url import Address

#: Of a session, as the server is told once it is connected.
_SESSION = {
    # a plan that was made when the tables were empty would be kept long after they are full
    "plan_cache_mode": "force_custom_plan",
    # compiling takes longer than any statement of ours
    "jit": "off",
    # a peer whose machine or network is gone keeps its locks for fifteen seconds, and not for two hours
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "2",
    "tcp_user_timeout": "15s",
    # a statement whose client has gone ends, however long it would have taken
    "client_connection_check_interval": "5s",
}
#: The same on our side, for a server that has gone: options of TCP, in seconds but for the last, in milliseconds.
_SOCKET = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 2, "TCP_USER_TIMEOUT": 15_000}
#: A setting that the server does not have is left out, and so is one that somebody has chosen: in the address, for the
#: role, or for the database. They are no parameters of the start, as poolers refuse those that they do not know.
_TELL = """
SELECT set_config(name, ours.value, false) FROM pg_settings JOIN unnest($1::text[], $2::text[]) AS ours(name, value)
USING (name) WHERE source NOT IN ('client', 'user', 'database', 'database user')
"""
#: SQLSTATE
_LOCK_NOT_AVAILABLE = "55P03"
#: ``sslrootcert`` that is no file: what the operating system trusts.
_SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Seconds after which the server ends what keeps others waiting; None sets no limit."""

    #: a transaction of which nothing is heard, as when its process was stopped
    idle: float | None
    #: waiting for a lock
    locks: float | None

    @property
    def settings(self) -> dict[str, str]:
        """The server's settings, by name, in milliseconds; 0 sets no limit."""
        limits = {"idle_in_transaction_session_timeout": self.idle, "lock_timeout": self.locks}
        return {name: f"{round((seconds or 0) * 1000)}ms" for name, seconds in limits.items()}


#: Who writes keeps others from it, and never pauses for as long; who waits for its lock waits for longer than it takes
#: to end it. Who reads keeps a migration waiting, and waits for nothing else. A migration may take as long as it needs.
WRITING, READING = SessionLimits(idle=15, locks=18), SessionLimits(idle=60, locks=5)
MIGRATING = SessionLimits(idle=None, locks=None)


class Postgres:
    """One database."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def engine(
        self, patience: float, *, statements: float | None, limits: SessionLimits = WRITING, **more: Any
    ) -> AsyncEngine:
        """An engine of SQLAlchemy; ``more`` is its own.

        ``patience``: seconds that making a connection may take, unless the address wants fewer. ``statements``:
        seconds that a statement may take; None sets no limit.
        """
        seconds = min(patience, self._address.connect_timeout or patience)
        connect = partial(self._connect, seconds, statements, limits)
        return create_async_engine(URL.create("postgresql+asyncpg"), async_creator=connect, **more)

    async def _connect(self, patience: float, statements: float | None, limits: SessionLimits) -> Any:
        """Raises OSError and the driver's errors, which SQLAlchemy knows."""
        import asyncpg  # type: ignore[import-untyped]  # here, as whose store is a file does without

        parameters = self._address.parameters
        dsn = self._address.dsn("connect_timeout", "servicefile")
        try:
            connection = await asyncpg.connect(
                dsn,
                servicefile=parameters.get("servicefile"),
                ssl=_system_tls(parameters),
                timeout=patience,
                command_timeout=statements,
            )
        except (OSError, RuntimeError, ValueError, asyncpg.InternalClientError) as error:
            if (wrong := _wrong_file(parameters)) is not None:
                raise asyncpg.InterfaceError(wrong) from error
            if isinstance(error, OSError | asyncpg.InterfaceError):
                raise
            raise asyncpg.InterfaceError(str(error)) from error
        try:
            async with asyncio.timeout(patience):
                await _prepare(connection, {**_SESSION, **limits.settings})
        except BaseException:
            connection.terminate()
            raise
        return connection


async def _prepare(connection: Any, settings: Mapping[str, str]) -> None:
    import asyncpg

    _watch(connection._transport.get_extra_info("socket"))
    try:
        await connection.execute(_TELL, list(settings), list(settings.values()))
    except asyncpg.PostgresError:
        for name, value in settings.items():  # one of them is known there and cannot be had
            with suppress(asyncpg.PostgresError):
                await connection.execute(_TELL, [name], [value])


def _watch(place: Any) -> None:
    """Have the system find out when the other side has gone."""
    if place.family not in (socket.AF_INET, socket.AF_INET6):
        return
    place.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _SOCKET.items():
        if hasattr(socket, name):
            place.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


async def interrupt(connection: Any) -> None:
    """End the statement under way on a connection of the driver; it fails. Returns once the server has been told, so
    that no later statement is concerned.

    This is what the driver itself does when whoever awaits a statement is cancelled, which is the only public way, and
    one after which SQLAlchemy throws the connection away.
    """
    await connection._cancel(asyncio.get_running_loop().create_future())


def is_locked(error: DBAPIError) -> bool:
    """Whether somebody else kept a lock for longer than we wait."""
    return getattr(error.orig, "sqlstate", None) == _LOCK_NOT_AVAILABLE


def lock_key(name: str) -> int:
    """A 64-bit key for advisory locks."""
    return int.from_bytes(hashlib.blake2b(f"connectory:{name}".encode(), digest_size=8).digest(), "big", signed=True)


def _system_tls(parameters: Mapping[str, str]) -> ssl.SSLContext | None:
    """What ``sslrootcert=system`` asks for; None where it is not there and the driver sees to TLS. Raises OSError."""
    if parameters.get("sslrootcert") != _SYSTEM:
        return None
    context = ssl.create_default_context()
    context.set_alpn_protocols(["postgresql"])
    if "sslcert" in parameters:
        _load_certificate(context, parameters)
    return context


def _load_certificate(context: ssl.SSLContext, parameters: Mapping[str, str]) -> None:
    password = parameters.get("sslpassword", "")
    context.load_cert_chain(parameters["sslcert"], parameters.get("sslkey"), lambda: password)


def _load_trusted(context: ssl.SSLContext, parameters: Mapping[str, str], *, name: str) -> None:
    if parameters[name] != _SYSTEM:
        context.load_verify_locations(parameters[name])


def _open_key(context: ssl.SSLContext, parameters: Mapping[str, str]) -> None:
    with open(parameters["sslkey"], "rb"):
        pass


#: Parameters that name files, and how each is read.
_FILES: Mapping[str, Callable[[ssl.SSLContext, Mapping[str, str]], None]] = {
    "sslrootcert": partial(_load_trusted, name="sslrootcert"),
    "sslcrl": partial(_load_trusted, name="sslcrl"),
    "sslkey": _open_key,
    "sslcert": _load_certificate,
}


def _wrong_file(parameters: Mapping[str, str]) -> str | None:
    """Which file of the address cannot be used, and why: neither the driver nor OpenSSL names it."""
    for name, load in _FILES.items():
        if name not in parameters:
            continue
        try:
            load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), parameters)
        except OSError as error:
            return f"{name} {parameters[name]} cannot be read: {error.strerror or error}"
    return None
