"""The way of a store to this version."""

import asyncio
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, delete, select, text
from sqlmodel import SQLModel

from connectory.model import ConnectorMode, CountsFact, JobFact, JobStatus, JobType
from connectory.store import Store, StoreTooNew
from connectory.store.log.cursors import Place
from connectory.store.migrations import upgrading as migration
from connectory.store.postgres import SessionLimits
from connectory.store.reads.snapshot import open_snapshot
from connectory.store.tables import EVENTS, JOBS, LOG_HEAD, SYSTEMS
from tests.api.world import Asker
from tests.engine.stage import Stage, rows
from tests.facts import at, connector, job
from tests.wait import until


def differences(connection: Connection) -> list[Any]:
    return list(compare_metadata(MigrationContext.configure(connection), SQLModel.metadata))


async def test_a_fresh_store_has_the_tables_of_the_models(store: Store) -> None:
    async with store.read() as connection:
        assert await connection.run_sync(differences) == []
        assert (await connection.execute(select(LOG_HEAD.c.id, LOG_HEAD.c.position))).all() == [(1, 0)]
        assert await connection.run_sync(migration.current) == migration.head()
    assert await store.problems() == []


async def test_the_comparison_would_find_a_difference(store: Store) -> None:
    async with store.write() as connection:
        await connection.execute(text("ALTER TABLE systems DROP COLUMN kind"))
        await connection.execute(text("DROP INDEX ix_jobs_order"))
    async with store.read() as connection:
        found = await connection.run_sync(differences)
    assert {difference[0] for difference in found} == {"add_column", "add_index"}


async def test_indexes_are_those_of_the_models(store: Store) -> None:
    """Partial ones too, whose criterion the comparison above does not look at."""
    catalog = (
        "SELECT sql FROM sqlite_master WHERE name = 'ix_jobs_open'"
        if store.is_sqlite
        else "SELECT indexdef FROM pg_indexes WHERE indexname = 'ix_jobs_open'"
    )
    async with store.read() as connection:
        assert "WHERE is_open" in str((await connection.execute(text(catalog))).scalar_one())


async def test_upgrading_again_changes_nothing(store: Store) -> None:
    stage = await Stage.open(store)
    await stage.poll([connector()], [job("1")])
    tables = SQLModel.metadata.sorted_tables
    before = [await rows(store, table) for table in tables]
    await store.upgrade()
    assert [await rows(store, table) for table in tables] == before


_SINCE_0007 = [("systems", "fence"), ("notifier", "fence")]
_SINCE_0006 = [
    *_SINCE_0007,
    ("jobs", "vanished_at"),
    ("jobs", "waiting_since"),
    ("jobs", "moved_at"),
    ("connectors", "first_seen_at"),
    ("connectors", "worker_seen_at"),
    ("connectors", "worker_moved_at"),
    ("connectors", "parse_errors"),
    ("connectors", "transport_errors"),
    ("job_floors", "ended_at"),
]


#: What takes the tables back to before version 0009.
_BEFORE_0009 = [
    "DROP TABLE log_start",
    *(f"ALTER TABLE {table} DROP COLUMN mark" for table in ("events", "log_head", "notices")),
]


async def test_streams_that_were_open_before_0006_begin_to_wait_with_it(store: Store) -> None:
    def stream(id: str, processed: int, status: JobStatus = JobStatus.RUNNING) -> JobFact:
        return job(
            id, "a", status, type=JobType.STREAM, processed=processed, counts=CountsFact(total=50),
            order_at=at(0), started_at=at(0), completed_at=None if status.open else at(9),
        )  # fmt: skip

    stage = await Stage.open(store)
    streaming = [connector(mode=ConnectorMode.STREAMING)]
    await stage.poll(streaming, [stream("stuck", 9)])
    stage.seconds += 2000
    await stage.poll(streaming, [stream("stuck", 9)])
    await stage.judge()
    assert "NO_PROGRESS" in await stage.conditions()
    others = [stream("waits", 9), stream("idle", 50), stream("ended", 9, JobStatus.SUCCEEDED)]
    await stage.poll(streaming, [stream("stuck", 9), *others])
    async with store.write() as connection:
        for table, column in _SINCE_0006:
            await connection.execute(text(f"ALTER TABLE {table} DROP COLUMN {column}"))
        for statement in ("DROP TABLE unwatched", "DROP TABLE leases", *_BEFORE_0009):
            await connection.execute(text(statement))
        await connection.execute(text("UPDATE alembic_version SET version_num = '0005'"))
    begin = datetime.now(UTC)
    await store.upgrade()
    since = {row["external_id"]: row["waiting_since"] for row in await rows(store, JOBS)}
    assert begin <= since.pop("waits") <= datetime.now(UTC)
    assert since == {"stuck": None, "idle": None, "ended": None}
    moved = {row["external_id"]: row["moved_at"] for row in await rows(store, JOBS)}
    assert moved == {"stuck": at(15), "waits": stage.now, "idle": stage.now, "ended": None}


async def test_jobs_that_had_vanished_before_0007_are_marked_by_it(store: Store) -> None:
    stage = await Stage.open(store)
    names = ("gone", "silent", "open")
    await stage.poll([connector()], [job(name, status=JobStatus.RUNNING) for name in names])
    odd = [
        job("odd", status=JobStatus.UNKNOWN),
        job("ended", status=JobStatus.UNKNOWN, completed_at=at(9)),
        job("done"),
    ]
    await stage.poll([connector()], odd, gone={"gone", "silent"})
    async with store.write() as connection:
        await connection.execute(delete(EVENTS).where(EVENTS.c.job_id == (await stage.job("silent"))["id"]))
        for table, column in [("jobs", "vanished_at"), *_SINCE_0007]:
            await connection.execute(text(f"ALTER TABLE {table} DROP COLUMN {column}"))
        for statement in ("DROP TABLE leases", *_BEFORE_0009):
            await connection.execute(text(statement))
        await connection.execute(text("UPDATE alembic_version SET version_num = '0006'"))
    await store.upgrade()
    found = {row["external_id"]: row["vanished_at"] for row in await rows(store, JOBS)}
    assert (found.pop("gone"), found.pop("silent")) == (at(30), at(15)), "as the log tells, else when it was seen last"
    assert found == dict.fromkeys(("open", "odd", "ended", "done"))


@pytest.mark.parametrize("start", [0, 2, 4])
async def test_a_log_from_before_0009_gets_a_beginning_and_the_store_an_id(store: Store, start: int) -> None:
    """Its rows are of this store, also without marks of their own: the id is younger than they are."""
    stage = await Stage.open(store)
    for n in range(3):
        end = await stage.poll([connector(name=str(n))])
    assert end == 4
    async with store.write() as connection:
        await connection.execute(delete(EVENTS).where(EVENTS.c.position <= start))
        for statement in _BEFORE_0009:
            await connection.execute(text(statement))
        await connection.execute(text("UPDATE alembic_version SET version_num = '0008'"))
    await store.upgrade()
    ask = Asker(store)
    async with open_snapshot(store, at(0)) as snapshot:
        assert (snapshot.start, snapshot.end) == (Place(start, None, snapshot.store), Place(end, None, snapshot.store))
    kinds = "query($c: String) { events(after: $c) { nodes { kind cursor } } eventCursor }"
    answer = await ask(kinds, c=Place(start, None, snapshot.store).cursor)
    assert len(answer["events"]["nodes"]) == end - start
    for node in answer["events"]["nodes"]:
        assert "GAP" not in [each["kind"] for each in (await ask(kinds, c=node["cursor"]))["events"]["nodes"]]
    await stage.poll([connector(name="new")])
    (news,) = (await ask(kinds, c=answer["eventCursor"]))["events"]["nodes"]
    assert news["kind"] == "CONNECTOR_CHANGED"
    other = (await ask(kinds, c=Place(end, None, snapshot.store ^ 1).cursor))["events"]["nodes"]
    assert other[0]["kind"] == "GAP"


_UPGRADE = """
import asyncio, sys
from connectory.store import Store

async def main():
    store = Store(sys.argv[1])
    await store.open()
    print("ready", flush=True)
    sys.stdin.readline()
    await store.upgrade()
    await store.close()

asyncio.run(main())
"""


async def test_processes_that_upgrade_at_once(bare_store_url: str) -> None:
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), asyncio.subprocess.PIPE)
    started = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", _UPGRADE, bare_store_url, **pipes) for _ in range(3)
    ]
    try:
        async with asyncio.timeout(60):
            for process in started:
                assert process.stdout is not None
                line = await process.stdout.readline()
                assert line == b"ready\n", (await process.communicate())[1].decode()
            outputs = await asyncio.gather(*(process.communicate(b"go\n") for process in started))
    finally:
        for process in started:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert [(process.returncode, error) for process, (_, error) in zip(started, outputs, strict=True)] == [(0, b"")] * 3
    store = Store(bare_store_url)
    try:
        assert await store.problems() == []
        assert len(await rows(store, LOG_HEAD)) == 1
    finally:
        await store.close()


async def test_who_starts_while_another_one_migrates_waits_for_its_end(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A migration takes longer than readers wait for its lock."""
    monkeypatch.setattr("connectory.store.database.READING", SessionLimits(idle=60, locks=0.1))
    first, second = Store(postgres_url), Store(postgres_url)
    try:
        async with first.migrating() as connection:
            await connection.execute(text("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE"))
            waiting = asyncio.create_task(second.upgrade())

            async def is_told() -> bool:
                return waiting.done() or "upgrade_waits" in [getattr(r, "action", "") for r in caplog.records]

            await until(is_told)
            assert not waiting.done(), waiting.exception()
        await asyncio.wait_for(waiting, 10)
        assert await second.problems() == []
    finally:
        await first.close()
        await second.close()


async def test_a_store_that_a_newer_version_has_written(store: Store) -> None:
    async with store.write() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreTooNew, match=r"revision 9999.*newer version") as caught:
        await store.upgrade()
    assert migration.head() in str(caught.value)
    assert len(await store.problems()) == 1


async def test_a_store_that_was_never_upgraded_says_what_to_do(bare_store_url: str) -> None:
    store = Store(bare_store_url)
    try:
        await store.open()
        (problem,) = await store.problems()
        assert "connectory db upgrade" in problem
        async with store.read() as connection:
            assert await connection.run_sync(lambda c: c.dialect.has_table(c, SYSTEMS.name)) is False
    finally:
        await store.close()
