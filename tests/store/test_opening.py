"""Stores that cannot be opened say why, in words for people and without a password."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from connectory.store import Store, StoreError, StoreUnreachable

SECRET = "correct-horse"


async def refusal(url: str) -> str:
    """What opening the store at ``url`` says."""
    store = Store(url)
    try:
        async with asyncio.timeout(20):
            with pytest.raises(StoreUnreachable) as caught:
                await store.open()
    finally:
        await store.close()
    message = str(caught.value)
    assert SECRET not in message
    assert SECRET not in str(store)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://root@localhost/x", "mysql"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("no url", "cannot be read"),
        ("nonsense://x", "cannot be a nonsense database"),
    ],
)
def test_urls_that_cannot_be_meant(url: str, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        Store(url)


async def test_no_server(unused_port: int) -> None:
    message = await refusal(f"postgresql://me:{SECRET}@127.0.0.1:{unused_port}/db")
    assert f"me:***@127.0.0.1:{unused_port}/db" in message
    assert "failed" in message


async def test_no_such_host() -> None:
    assert "host.invalid" in await refusal(f"postgresql://me:{SECRET}@host.invalid/db")


async def test_no_such_database(postgres_url: str) -> None:
    message = await refusal(f"{postgres_url}_not")
    assert message.endswith('_not" does not exist')


async def test_a_refused_password() -> None:
    async with refusing_server() as port:
        message = await refusal(f"postgresql://me:{SECRET}@127.0.0.1:{port}/db")
    assert message.endswith('password authentication failed for user "me"')


async def test_no_folder(tmp_path: Path) -> None:
    message = await refusal(f"sqlite:///{tmp_path / 'missing' / 'a.db'}")
    assert message.endswith(f"the folder {tmp_path / 'missing'} does not exist")
    assert os.listdir(tmp_path) == []


async def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    assert "unable to open database file" in await refusal(f"sqlite:///{tmp_path}")


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("Dear diary\n" * 500)
    assert "not a database" in await refusal(f"sqlite:///{file}")
    assert file.read_text() == "Dear diary\n" * 500


async def test_a_file_that_we_may_only_read() -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.db"
        store = Store(f"sqlite:///{file}")
        await store.open()
        await store.upgrade()
        await store.close()
        os.chmod(file, 0o444)
        os.chmod(folder, 0o555)
        with unprivileged():
            message = await refusal(f"sqlite:///{file}")
        os.chmod(folder, 0o755)
    assert "readonly" in message


async def test_a_file_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store("sqlite:///here.db")
    await store.open()
    await store.upgrade()
    assert await store.problems() == []
    await store.close()
    assert (tmp_path / "here.db").stat().st_size > 0


async def test_a_database_that_goes_away_is_a_problem_and_no_exception(tmp_path: Path, unused_port: int) -> None:
    store = Store(f"postgresql://me:{SECRET}@127.0.0.1:{unused_port}/db")
    (problem,) = await store.problems()
    await store.close()
    assert problem.startswith("the store does not answer")
    assert SECRET not in problem


@pytest.fixture
async def unused_port() -> int:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


@asynccontextmanager
async def refusing_server() -> AsyncIterator[int]:
    """Speaks as much of PostgreSQL's protocol as it takes to refuse a password."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            start = await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big") - 4)
            if start[:4] != (80877103).to_bytes(4, "big"):
                break
            writer.write(b"N")  # no TLS
        writer.write(b"R" + (8).to_bytes(4, "big") + (3).to_bytes(4, "big"))
        assert await reader.readexactly(1) == b"p"
        await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big") - 4)
        answer = b'SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user "me"\0\0'
        writer.write(b"E" + (len(answer) + 4).to_bytes(4, "big") + answer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may write everywhere; be nobody for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
