"""The command line as users meet it: processes, exit statuses, and sentences instead of tracebacks."""

import os
import re
import signal
import socket
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from graphql import build_schema

from connectory.commands import demo
from connectory.commands.simulators import simulated_kinds
from connectory.lanes import CONNECTIONS
from connectory.web import graphiql
from tests.commands import run, started
from tests.notices.receiver import SECRET, Receiver
from tests.store.test_postgres import opened
from tests.stores import few_connections
from tests.wait import until

BROKEN_TOKEN = "tok-3141592653"


def write(folder: Path, *systems: str, server: str = "", store: str = "sqlite:///store.db") -> Path:
    file = folder / "connectory.toml"
    text = f'[server]\nport = 0\n{server}\n[store]\nurl = "{store}"\n' + "\n".join(systems)
    file.write_text(text, encoding="utf-8")
    return file


def onyx(url: str, token: str = BROKEN_TOKEN, name: str = "docs") -> str:
    return f'[[systems]]\nname = "{name}"\nkind = "onyx"\nurl = "{url}"\ntoken = "{token}"\ntimeout = 5\n'


@contextmanager
def taken() -> Iterator[int]:
    """A port that somebody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def free() -> int:
    """A port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


async def get(url: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.json(content_type=None)


async def ask(url: str, query: str) -> Any:
    async with aiohttp.ClientSession() as session, session.post(f"{url}/graphql", json={"query": query}) as response:
        return await response.json()


# ---- what prints and ends


async def test_the_version(tmp_path: Path) -> None:
    assert await run("--version", cwd=tmp_path) == (0, f"connectory {version('connectory')}\n", "")


async def test_the_installed_command_is_this_one() -> None:
    found = Path(sys.executable).with_name("connectory")
    assert "from connectory.commands.cli import main" in found.read_text(encoding="utf-8")


async def test_export_schema_prints_a_schema(tmp_path: Path) -> None:
    status, out, err = await run("export-schema", cwd=tmp_path)
    assert (status, err) == (0, "")
    assert "connectors" in (build_schema(out).query_type or pytest.fail("no queries")).fields


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["serve", "--port", "70000"], ["simulate"]])
async def test_what_is_not_understood_ends_with_2(tmp_path: Path, arguments: list[str]) -> None:
    status, _, _ = await run(*arguments, cwd=tmp_path)
    assert status == 2


async def test_help_names_every_simulator(tmp_path: Path) -> None:
    _, out, _ = await run("simulate", "--help", cwd=tmp_path, COLUMNS="200")
    assert ", ".join(simulated_kinds()) in out


def test_a_demo_clears_up_after_one_that_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, other = tmp_path / f"{demo.FOLDER}left", tmp_path / f"{demo.FOLDER}other"
    left.mkdir()
    (left / demo.LOCK).touch()
    other.mkdir()
    with demo.folder() as first:
        assert set(tmp_path.iterdir()) == {first, other}
        with demo.folder() as second:
            assert set(tmp_path.iterdir()) == {first, second, other}, "one that runs is left alone"
    assert set(tmp_path.iterdir()) == {other}


def test_the_demo_says_last_that_graphiql_was_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = demo.Demo("http://127.0.0.1:1", {})
    for built in (True, False):
        monkeypatch.setattr(graphiql, "STATIC", tmp_path)
        (tmp_path / "index.html").touch() if built else (tmp_path / "index.html").unlink()
        *_, last, _, end = here.greeting().rstrip().splitlines()
        assert (last == demo.UNBUILT, end) == (not built, "Ctrl-C ends it.")


# ---- bad configurations


@pytest.mark.parametrize("command", [["serve"], ["check"], ["db", "upgrade"]])
async def test_a_bad_configuration_ends_with_2_and_names_file_and_key(tmp_path: Path, command: list[str]) -> None:
    file = write(tmp_path, onyx("https://onyx.example.com/api") + "tokn = 'x'")
    status, out, err = await run(*command, "--config", str(file), cwd=tmp_path)
    assert (status, out) == (2, "")
    assert f"{file}: systems[0].tokn: unknown key" in err
    assert BROKEN_TOKEN not in err


@pytest.mark.parametrize("command", [["serve"], ["check"], ["db", "upgrade"]])
async def test_without_a_configuration_there_is_a_hint(tmp_path: Path, command: list[str]) -> None:
    status, _, err = await run(*command, cwd=tmp_path)
    assert status == 2
    assert "connectory.toml: there is no such file" in err
    assert "make demo" in err


async def test_an_open_address_needs_a_word(tmp_path: Path) -> None:
    write(tmp_path)
    status, _, err = await run("serve", "--host", "0.0.0.0", cwd=tmp_path)
    assert status == 2
    assert "--host: server.host: 0.0.0.0" in err
    assert "allow_anonymous" in err


async def test_a_port_in_use_is_told_before_anything_starts(tmp_path: Path) -> None:
    write(tmp_path)
    with taken() as port:
        status, _, err = await run("serve", cwd=tmp_path, CONNECTORY_PORT=str(port))
    assert status == 2
    assert f"cannot listen at 127.0.0.1 port {port}: Address already in use; --port and --host name another" in err
    assert not (tmp_path / "store.db").exists()


async def test_a_store_from_the_future_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path)
    await upgraded_again(tmp_path)
    with sqlite3.connect(tmp_path / "store.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'from_tomorrow'")
    connection.close()
    for command in (["serve"], ["db", "upgrade"]):
        status, _, err = await run(*command, cwd=tmp_path)
        assert status == 2, command
        assert "from_tomorrow" in err, command
        assert "newer version" in err, command


async def upgraded_again(folder: Path) -> None:
    """``db upgrade`` may be repeated."""
    for _ in range(2):
        status, out, err = await run("db", "upgrade", cwd=folder)
        assert (status, err) == (0, "")
        assert "at this version" in out
    assert (folder / "store.db").is_file()


@pytest.mark.parametrize("command", [["serve"], ["db", "upgrade"]])
async def test_a_store_out_of_reach(tmp_path: Path, command: list[str]) -> None:
    url = f"postgresql://someone:{BROKEN_TOKEN}@127.0.0.1:{free()}/nothing"
    write(tmp_path)
    status, _, err = await run(*command, cwd=tmp_path, CONNECTORY_STORE_URL=url)
    assert status == 2
    assert "store postgresql://" in err
    assert BROKEN_TOKEN not in err


@pytest.mark.parametrize(
    ("command", "query", "message"),
    [
        (
            ["serve"],
            "sslmode=verify-full&sslrootcert=/no/ca.pem",
            "sslrootcert /no/ca.pem cannot be read: No such file",
        ),
        (["serve"], "channel_binding=require", "store.url: has a channel_binding that the driver cannot follow"),
        (["db", "upgrade"], f"password={BROKEN_TOKEN}&requirepeer=x", "store.url: has the parameter requirepeer"),
    ],
)
async def test_a_parameter_of_the_store_that_cannot_be_followed(
    tmp_path: Path, command: list[str], query: str, message: str
) -> None:
    write(tmp_path)
    url = f"postgresql://someone:{BROKEN_TOKEN}@127.0.0.1:{free()}/nothing?{query}"
    status, _, err = await run(*command, cwd=tmp_path, CONNECTORY_STORE_URL=url)
    assert status == 2
    assert message in err
    assert BROKEN_TOKEN not in err


async def test_a_store_that_may_not_be_written(tmp_path: Path, bare_postgres_url: str) -> None:
    """A standby, or a role that may only read; as long as tables are missing and once they are there."""
    write(tmp_path, store=f"{bare_postgres_url}?options=-c%20default_transaction_read_only%3Don")
    for command, status in ((["check"], 1), (["serve"], 2)):
        assert await refused_statement(command, tmp_path) == (status, "CREATE TABLE")
    assert (await run("db", "upgrade", cwd=tmp_path, CONNECTORY_STORE_URL=bare_postgres_url))[0] == 0
    assert await refused_statement(["check"], tmp_path) == (1, "UPDATE")


async def refused_statement(command: list[str], folder: Path) -> tuple[int, str]:
    """The status, and the statement that a read-only transaction refused."""
    status, out, err = await run(*command, cwd=folder)
    found = re.search(r"cannot execute (.*) in a read-only transaction", out + err)
    return status, found[1] if found else ""


async def test_the_store_takes_what_libpq_takes(tmp_path: Path, postgres_url: str) -> None:
    write(tmp_path, store=f"{postgres_url}?application_name=gw&connect_timeout=10&options=-c%20work_mem%3D8MB")
    assert (await run("db", "upgrade", cwd=tmp_path))[0] == 0
    async with started("serve", cwd=tmp_path) as running:
        url = (await running.says(r"(http://127\.0\.0\.1:\d+)/graphql"))[1]
        assert await get(f"{url}/readyz") == (200, {"status": "ok"})
        running.process.send_signal(signal.SIGTERM)
        assert await running.end() == 0


# ---- what runs until it is told to stop


@pytest.mark.parametrize("arguments", [["serve"], ["simulate", "onyx"], ["demo", "--port", "0"]])
async def test_a_hang_up_is_logged_and_ignored(tmp_path: Path, arguments: list[str]) -> None:
    write(tmp_path)
    async with started(*arguments, cwd=tmp_path) as running:
        await running.says(r"http://127\.0\.0\.1:\d+")
        running.process.send_signal(signal.SIGHUP)
        await running.says("SIGHUP is ignored")
        running.process.send_signal(signal.SIGTERM)
        assert await running.end() == 0
    assert "Traceback" not in running.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_serve_answers_until_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    write(tmp_path, onyx(f"http://127.0.0.1:{free()}/api", name="down"))
    async with started("serve", cwd=tmp_path) as running:
        url = (await running.says(r"(http://127\.0\.0\.1:\d+)/graphql"))[1]
        assert await get(f"{url}/healthz") == (200, {"status": "ok"})
        assert await get(f"{url}/readyz") == (200, {"status": "ok"})

        async def is_down() -> bool:
            found = await ask(url, "{ systems { name health } }")
            return bool(found == {"data": {"systems": [{"name": "down", "health": "DOWN"}]}})

        await until(is_down)
        asked = time.monotonic()
        running.process.send_signal(number)
        assert await running.end() == 0
        assert time.monotonic() - asked < 5
    assert "Traceback" not in running.err
    assert BROKEN_TOKEN not in running.err + running.out


async def test_a_signal_while_the_store_keeps_us_waiting(tmp_path: Path) -> None:
    """A database that accepts and never answers must not keep us from ending."""
    write(tmp_path)
    with taken() as port:
        async with started("serve", cwd=tmp_path, CONNECTORY_STORE_URL=f"postgresql://u@127.0.0.1:{port}/d") as running:

            async def is_waiting() -> bool:
                return connected(port)

            await until(is_waiting, within=30)
            running.process.send_signal(signal.SIGTERM)
            assert await running.end() == 0


def connected(port: int) -> bool:
    """Whether somebody has an established connection to ``port`` of ours (Linux: /proc/net/tcp)."""
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    return any(line.split()[2:4] == [f"0100007F:{port:04X}", "01"] for line in lines)


# ---- simulators


async def test_simulators_print_what_opens_them_and_check_agrees(tmp_path: Path) -> None:
    kinds = list(simulated_kinds())
    async with AsyncExitStack() as stack:
        running = [
            await stack.enter_async_context(started("simulate", kind, "--seed", "3", cwd=tmp_path)) for kind in kinds
        ]
        entries = [(await simulator.says(r"(?s)(\[\[systems\]\].*\n)\n"))[1] for simulator in running]
        write(tmp_path, *entries)
        status, out, err = await run("check", cwd=tmp_path)
        for simulator in running:
            simulator.process.send_signal(signal.SIGTERM)
        assert [await simulator.end() for simulator in running] == [0] * len(kinds)
    assert (status, err) == (0, "")
    for kind, line in zip(kinds, out.splitlines(), strict=True):
        assert re.fullmatch(rf"{kind}-demo +{kind} +ok +reachable, authenticated, \d+ connectors", line)


async def test_check_tells_of_each_system_what_failed(tmp_path: Path) -> None:
    async with started("simulate", "onyx", cwd=tmp_path) as simulator:
        url = (await simulator.says(r'url = "([^"]*)"'))[1]
        token = (await simulator.says(r'token = "([^"]*)"'))[1]
        write(
            tmp_path,
            onyx(url, token, "good"),
            onyx(url, BROKEN_TOKEN, "refused"),
            onyx(f"http://127.0.0.1:{free()}/api", name="down"),
            onyx("http://no-such-name.invalid/api", name="unknown"),
            onyx(url.removesuffix("/api") + "/elsewhere", token, "elsewhere"),
        )
        status, out, err = await run("check", cwd=tmp_path)
    assert (status, err) == (1, "")
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert list(lines) == ["good", "refused", "down", "unknown", "elsewhere"]
    assert "reachable, authenticated" in lines["good"]
    assert "FAILED  reachable, not authenticated: " in lines["refused"]
    assert "look at its credentials" in lines["refused"]
    assert "FAILED  not reachable: " in lines["down"]
    assert "does not resolve" in lines["unknown"]
    assert "FAILED  reachable, not understood: " in lines["elsewhere"]
    assert BROKEN_TOKEN not in out
    assert token not in out


@pytest.mark.parametrize(
    ("store", "output"),
    [
        ("sqlite:///nowhere/store.db", r"store +sqlite +FAILED  .*the folder \S+/nowhere does not exist"),
        ("{postgres}_not", r'store +postgresql +FAILED  .*_not" does not exist'),
        (f"postgresql://someone:{BROKEN_TOKEN}@127.0.0.1:1/nothing", r"store +postgresql +FAILED  .*someone:\S*@127"),
    ],
)
async def test_check_tells_of_a_store_that_is_not_there(
    tmp_path: Path, postgres_url: str, store: str, output: str
) -> None:
    write(tmp_path, store=store.format(postgres=postgres_url))
    status, out, err = await run("check", cwd=tmp_path)
    assert (status, err) == (1, "")
    assert re.match(output, out)
    assert BROKEN_TOKEN not in out


async def test_check_tells_of_a_store_that_a_newer_version_has_written(tmp_path: Path) -> None:
    write(tmp_path)
    assert (await run("db", "upgrade", cwd=tmp_path))[0] == 0
    assert (await run("check", cwd=tmp_path))[0] == 0
    with sqlite3.connect(tmp_path / "store.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'from_tomorrow'")
    connection.close()
    status, out, _ = await run("check", cwd=tmp_path)
    assert status == 1
    assert re.match(r"store +sqlite +FAILED  .*from_tomorrow.*newer version", out)


async def test_check_makes_no_store_and_leaves_nothing_in_one(tmp_path: Path, bare_store_url: str) -> None:
    write(tmp_path, store=bare_store_url)
    before = os.listdir(tmp_path)
    status, out, _ = await run("check", cwd=tmp_path)
    assert (status, out) == (0, "The configuration is valid and names no system.\n")
    assert os.listdir(tmp_path) == before
    assert (await run("db", "upgrade", cwd=tmp_path))[0] == 0
    assert (await run("check", cwd=tmp_path))[0] == 0
    async with opened(bare_store_url) as store:
        assert await store.problems() == []


async def test_check_tells_where_the_server_has_too_few_connections(tmp_path: Path, postgres_url: str) -> None:
    async with few_connections(postgres_url, CONNECTIONS - 3) as url:
        write(tmp_path, store=url)
        status, out, _ = await run("check", cwd=tmp_path)
    assert (status, out.splitlines()[0]) == (
        0,
        "store  postgresql  ok      the server grants 17 connections at most; store.connections = 20 should be no more",
    )


async def test_check_asks_receivers_and_tells_them_nothing(tmp_path: Path) -> None:
    receiver = Receiver()
    entry = f'[[notices]]\nname = "pager"\nurl = "{receiver.url}"\nsecret = "{SECRET}"\n'
    silent = entry.replace("pager", "nobody").replace(f":{receiver.port}/", f":{free()}/")
    write(tmp_path, entry, silent)
    async with receiver.serving():
        status, out, err = await run("check", cwd=tmp_path)
    assert (status, err) == (1, "")
    pager, nobody = out.splitlines()
    assert re.fullmatch(r"pager +json +ok +reachable; no message was sent, so .*", pager)
    assert re.fullmatch(r"nobody +json +FAILED  .*Connection refused.*[Nn]obody would be told.*", nobody)
    assert receiver.got == []
    assert "of-the-url" not in out


async def test_check_tells_that_stale_after_was_raised(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free()}/api"
    write(
        tmp_path,
        onyx(url, name="raised") + "poll_interval = 60",
        onyx(url, name="own") + "poll_interval = 60\nstale_after = 100",
        onyx(url, name="enough") + "poll_interval = 60\nstale_after = 180",
        onyx(url, name="plain"),
    )
    _, out, _ = await run("check", cwd=tmp_path)
    raised = re.findall(r"(?m)^(\w+) .*stale_after is raised from (\d+) to (\d+) seconds, three poll intervals$", out)
    assert raised == [("raised", "90", "180"), ("own", "100", "180")]


async def test_an_unknown_simulator_ends_with_2(tmp_path: Path) -> None:
    status, _, err = await run("simulate", "onix", cwd=tmp_path)
    assert status == 2
    assert "valid: elastic, feldera, lucidworks, onyx, zensearch" in err


async def test_the_demo_shows_all_its_systems_and_leaves_nothing(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    async with started(
        "demo", "--port", "0", "--seed", "1", "--speed", "5", cwd=tmp_path, TMPDIR=str(temporary)
    ) as demo:
        url = (await demo.says(r"GraphQL +(http://127\.0\.0\.1:\d+)/graphql"))[1]
        await demo.says("Ctrl-C ends it")

        async def are_up() -> Any:
            found = await ask(url, "{ systems { name kind health totalConnectors } }")
            systems = found["data"]["systems"]
            return systems if all(system["health"] == "UP" for system in systems) else None

        systems = await until(are_up, within=30)
        assert [system["name"] for system in systems] == [f"{kind}-demo" for kind in simulated_kinds()]
        assert all(system["totalConnectors"] > 0 for system in systems)
        example = re.search(r'"query": "(.*)"', demo.out)
        assert example is not None
        assert "errors" not in await ask(url, example[1])
        assert await ask(url, "{ viewer { role } }") == {"data": {"viewer": {"role": "OPERATOR"}}}
        for kind in simulated_kinds():
            assert re.search(rf"{kind} +http://127\.0\.0\.1:\d+", demo.out)
        assert any(temporary.iterdir())
        demo.process.send_signal(signal.SIGINT)
        assert await demo.end() == 0
    assert "Traceback" not in demo.err
    assert list(temporary.iterdir()) == []


async def test_the_demo_keeps_its_store_where_it_is_told(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'kept.db'}"
    real = f"sqlite:///{tmp_path / 'real.db'}"
    async with started("demo", "--port", "0", "--store", url, cwd=tmp_path, CONNECTORY_STORE_URL=real) as demo:
        await demo.says("Ctrl-C ends it")
        demo.process.send_signal(signal.SIGTERM)
        assert await demo.end() == 0
    assert (tmp_path / "kept.db").is_file()
    assert not (tmp_path / "real.db").exists()
    assert tempfile.gettempdir() not in demo.out
