"""Connections to PostgreSQL: the driver reads the address itself, so that what libpq takes in a URL works here too."""

import asyncio
import hashlib
import ssl
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from connectory.address import Address

#: Told to the server with each connection. A plan that was made when the tables were empty would be kept long after
#: they are full.
_SESSION = {"plan_cache_mode": "force_custom_plan"}
#: ``sslrootcert`` that is no file: what the operating system trusts.
_SYSTEM = "system"


class Postgres:
    """One database."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def engine(self, patience: float, *, statements: float | None, **more: Any) -> AsyncEngine:
        """An engine of SQLAlchemy; ``more`` is its own.

        ``patience``: seconds that making a connection may take, unless the address wants fewer. ``statements``:
        seconds that a statement may take; None sets no limit.
        """
        seconds = min(patience, self._address.connect_timeout or patience)
        connect = partial(self._connect, seconds, statements)
        return create_async_engine(URL.create("postgresql+asyncpg"), async_creator=connect, **more)

    async def _connect(self, patience: float, statements: float | None) -> Any:
        """Raises OSError and the driver's errors, which SQLAlchemy knows."""
        import asyncpg  # type: ignore[import-untyped]  # here, as whose store is a file does without

        parameters = self._address.parameters
        dsn = self._address.dsn("connect_timeout", "servicefile")
        try:
            return await asyncpg.connect(
                dsn,
                servicefile=parameters.get("servicefile"),
                ssl=_system_tls(parameters),
                server_settings=_SESSION,
                timeout=patience,
                command_timeout=statements,
            )
        except (OSError, RuntimeError, ValueError, asyncpg.InternalClientError) as error:
            if (wrong := _wrong_file(parameters)) is not None:
                raise asyncpg.InterfaceError(wrong) from error
            if isinstance(error, OSError | asyncpg.InterfaceError):
                raise
            raise asyncpg.InterfaceError(str(error)) from error


async def interrupt(connection: Any) -> None:
    """End the statement under way on a connection of the driver; it fails. Returns once the server has been told, so
    that no later statement is concerned.

    This is what the driver itself does when whoever awaits a statement is cancelled, which is the only public way, and
    one after which SQLAlchemy throws the connection away.
    """
    await connection._cancel(asyncio.get_running_loop().create_future())


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
