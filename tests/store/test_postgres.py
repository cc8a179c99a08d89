"""What libpq takes in a PostgreSQL URL works for every connection of a store, or is told in one sentence."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import make_url, text

from connectory.store import Store, StoreUnreachable
from connectory.store.log.bus import Bus
from connectory.store.log.notify_channel import NotifyChannel
from tests.faults.certificates import make_certificates
from tests.wait import until

_OTHERS = """
SELECT DISTINCT application_name FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
#: Of PostgreSQL's protocol: "may we speak TLS?", and yes.
_ASKS, _YES = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big"), b"S"


async def result_of(store: Store, statement: str) -> object:
    async with store.read() as connection:
        return (await connection.execute(text(statement))).scalar_one()


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    store = Store(url)
    try:
        await store.open()
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def connected(store: Store) -> AsyncIterator[None]:
    """All connections that a gateway has: of the pools, the leases and the messages."""
    notify_channel = NotifyChannel(store, Bus())
    listening = asyncio.create_task(notify_channel.run())

    async def listens() -> bool:
        return notify_channel.is_connected

    try:
        await until(listens)
        assert await store.leases.hold("docs") is not None
        async with store.read() as reads, store.write() as writes, store.write(hurried=True) as hurried:
            for connection in (reads, writes, hurried):
                await connection.execute(text("SELECT 1"))
            yield
    finally:
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening


async def test_what_libpq_takes_holds_for_every_connection(postgres_url: str) -> None:
    options = "options=-c%20search_path%3Dpublic,pg_catalog%20-c%20statement_timeout%3D61s"
    session = "application_name=the%20gateway&target_session_attrs=read-write"
    async with opened(
        f"{postgres_url}?connect_timeout=9&{session}&{options}&sslmode=prefer&gssencmode=disable"
    ) as store:
        await store.upgrade()
        assert await result_of(store, "SHOW statement_timeout") == "61s"
        assert await result_of(store, "SHOW plan_cache_mode") == "force_custom_plan"
        async with connected(store):
            other = await asyncpg.connect(postgres_url, timeout=10)
            try:
                assert [name for (name,) in await other.fetch(_OTHERS)] == ["the gateway"]
            finally:
                await other.close()


async def test_the_second_host_stands_in_for_the_first(postgres_url: str, unused_tcp_port: int) -> None:
    place = make_url(postgres_url)
    hosts = f"127.0.0.1:{unused_tcp_port},{place.host}:{place.port or 5432}"
    async with opened(f"postgresql://{place.username}@{hosts}/{place.database}") as store:
        assert await result_of(store, "SELECT current_database()") == place.database


@pytest.mark.parametrize("names", ["sslrootcert={trusted}", "sslrootcert={trusted}&sslcert={trusted}&sslkey={key}"])
async def test_a_certificate_is_verified_by_every_connection(postgres_url: str, tmp_path: Path, names: str) -> None:
    certificates = make_certificates(tmp_path)
    files = {"trusted": tmp_path / "trusted.pem", "key": tmp_path / "trusted.key"}
    asked = f"sslmode=verify-full&{names.format(**files)}"
    async with behind_tls(postgres_url, certificates.trusted) as url, opened(f"{url}?{asked}") as store:
        await store.upgrade()
        async with connected(store):
            assert await result_of(store, "SELECT 1") == 1


async def test_a_certificate_that_is_not_trusted(postgres_url: str, tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    for trusted in (tmp_path / "trusted.pem", "system"):
        async with behind_tls(postgres_url, certificates.strange) as url:
            message = await refusal(f"{url}?sslmode=verify-full&sslrootcert={trusted}")
        assert "CERTIFICATE_VERIFY_FAILED" in message, trusted


@pytest.mark.parametrize("name", ["sslrootcert", "sslcrl", "sslcert", "sslkey"])
async def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    """Neither the driver nor OpenSSL does."""
    make_certificates(tmp_path)
    named = {
        "sslrootcert": tmp_path / "trusted.pem",
        "sslcert": tmp_path / "trusted.pem",
        "sslkey": tmp_path / "trusted.key",
    }
    files = {**named, name: tmp_path / "none.pem"}
    message = await refusal("postgresql://u@h/d?sslmode=verify-full&" + "&".join(f"{k}={v}" for k, v in files.items()))
    assert message.endswith(f"{name} {tmp_path / 'none.pem'} cannot be read: No such file or directory")


async def test_a_file_that_holds_no_certificate_is_named(tmp_path: Path) -> None:
    file = tmp_path / "notes.pem"
    file.write_text("Dear diary")
    assert f"sslrootcert {file} cannot be read: " in await refusal(
        f"postgresql://u@h/d?sslmode=require&sslrootcert={file}"
    )


async def test_a_parameter_that_nobody_knows_is_named_by_the_server(postgres_url: str) -> None:
    assert 'unrecognized configuration parameter "pooling"' in await refusal(f"{postgres_url}?pooling=true")


async def test_a_server_that_is_not_of_the_wanted_kind(postgres_url: str) -> None:
    assert "None of the hosts match" in await refusal(f"{postgres_url}?target_session_attrs=standby")


async def refusal(url: str) -> str:
    """What opening the store at ``url`` says, in one line."""
    store = Store(url)
    try:
        with pytest.raises(StoreUnreachable) as caught:
            await store.open()
    finally:
        await store.close()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@asynccontextmanager
async def behind_tls(url: str, context: ssl.SSLContext) -> AsyncIterator[str]:
    """The same server, where it speaks TLS: whoever has asked for it is handed on to where it is spoken."""
    place = make_url(url)

    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(len(_ASKS)) == _ASKS
        writer.write(_YES)

    async with (
        relaying(place.host or "", place.port or 5432, ssl=context) as inner,
        relaying("127.0.0.1", inner, first=ask) as port,
    ):
        yield place.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)


@asynccontextmanager
async def relaying(host: str, port: int, *, first: Any = None, **options: Any) -> AsyncIterator[int]:
    """A port that leads there."""
    ends: set[asyncio.StreamWriter] = set()

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                sink.write(data)
        sink.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends.add(writer)
        if first is not None:
            await first(reader, writer)
        up_reader, up_writer = await asyncio.open_connection(host, port)
        ends.add(up_writer)
        await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, **options)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for end in ends:
            end.close()
        await server.wait_closed()
