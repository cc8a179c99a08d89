"""A store as the version of revision 0006 has left it, of any size."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, MetaData, Table, insert, make_url, update
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from connectory.engine.recording.connectors import set_health
from connectory.engine.recording.events import connector_event, job_event
from connectory.engine.recording.rows import connector_row, job_row
from connectory.model import (
    ConditionCode,
    ConditionSeverity,
    ConnectorMode,
    ConnectorStatus,
    CountsFact,
    JobStatus,
    SystemErrorCode,
    SystemHealth,
)
from connectory.store.migrations import upgrading as migration
from connectory.store.rows import batches
from connectory.store.tables.identity import CONNECTOR, SYSTEM, global_id
from tests.facts import at, connector, details, job

REVISION = "0006"
_FOLDER = "connectory:store/migrations"
#: Rows of one statement.
_AT_ONCE = 1_000
_HOUR = 3_600
_ENDS = (
    JobStatus.SUCCEEDED, JobStatus.SUCCEEDED, JobStatus.SUCCEEDED_WITH_ERRORS, JobStatus.SUCCEEDED, JobStatus.FAILED,
    JobStatus.SUCCEEDED, JobStatus.CANCELED, JobStatus.SUCCEEDED,
)  # fmt: skip
_STATUSES = (ConnectorStatus.ACTIVE, ConnectorStatus.ACTIVE, ConnectorStatus.PAUSED, ConnectorStatus.ERROR)

Row = dict[str, Any]


@dataclass(frozen=True)
class OldStore:
    """``connectors`` of one system, named ``name``, with ``jobs_each``; of every twentieth the newest job is open, and
    of every fiftieth the oldest had vanished, without a word in the log of every hundredth."""

    name: str
    kind: str
    connectors: int
    jobs_each: int

    async def write(self, url: str) -> None:
        """Into a store without a table."""
        driver = "sqlite+aiosqlite" if url.startswith("sqlite") else "postgresql+asyncpg"
        engine = create_async_engine(
            make_url(url).set(drivername=driver)
        )  # a Store takes none but those of its version
        try:
            async with engine.begin() as connection:
                await connection.run_sync(_migrate)
                tables = MetaData()
                await connection.run_sync(tables.reflect)
                await self._fill(connection, tables.tables)
        finally:
            await engine.dispose()

    @property
    def vanished(self) -> Mapping[str, datetime]:
        """When each job that had vanished did, as far as the store tells, by external id."""
        return {f"c{n}-0": at(2 * _HOUR if n % 100 else _HOUR) for n in range(0, self.connectors, 50)}

    async def _fill(self, connection: AsyncConnection, tables: Mapping[str, Table]) -> None:
        is_sqlite = connection.dialect.name == "sqlite"
        position = 0
        await _insert(connection, tables["systems"], [self._system()], is_sqlite)
        for numbers in batches(range(self.connectors), _AT_ONCE // self.jobs_each or 1):
            rows: dict[str, list[Row]] = {
                "connectors": [],
                "jobs": [],
                "job_errors": [],
                "conditions": [],
                "events": [],
            }
            for number in numbers:
                for table, row in self._rows(number):
                    if table == "events":
                        position += 1
                        row["position"] = position
                    rows[table].append(row)
            for table, some in rows.items():
                await _insert(connection, tables[table], some, is_sqlite)
        floors = [{"connector_id": self._id(n), "created_order": 0} for n in range(0, self.connectors, 10)]
        await _insert(connection, tables["job_floors"], floors, is_sqlite)
        outage = {"system_id": self._system()["id"], "started_at": at(0), "ended_at": at(60)}
        outage |= {"code": SystemErrorCode.TIMEOUT, "message": "no answer"}
        await _insert(connection, tables["outages"], [outage], is_sqlite)
        await connection.execute(update(tables["log_head"]).values(position=position))

    def _id(self, number: int) -> str:
        return global_id(CONNECTOR, self.name, f"c{number}")

    def _system(self) -> Row:
        return {
            "id": global_id(SYSTEM, self.name), "name": self.name, "kind": self.kind, "configured": True,
            "health": SystemHealth.UP, "capabilities": "[]", "stale_after": 90.0, "consecutive_failures": 0,
            "last_poll_at": at(30 * _HOUR), "last_success_at": at(30 * _HOUR), "observed_at": at(30 * _HOUR),
        }  # fmt: skip

    def _rows(self, number: int) -> Iterator[tuple[str, Row]]:
        """Of one connector, its jobs oldest first."""
        system, is_open = global_id(SYSTEM, self.name), number % 20 == 0
        elastic = details("ElasticConnectorDetails", {"indexName": f"search-{number}", "language": "en"})
        fact = connector(
            f"c{number}", name=f"Connector {number}", status=_STATUSES[number % 4], details=elastic,
            mode=ConnectorMode.BATCH, url="https://search.example/", in_progress=is_open,
        )  # fmt: skip
        row = connector_row(system, self.name, fact, owed=False)
        row |= {"removed_at": None, "missed_polls": 0, "history_read": True, "last_job_status": JobStatus.SUCCEEDED}
        row["latest_job_id"] = global_id("Job", self.name, f"c{number}-{self.jobs_each - 1}")
        row["first_seen_at"] = at(0)
        set_health(row)
        yield "connectors", row
        yield "events", _of(connector_event(None, row, at(0)))
        for run in range(self.jobs_each):
            newest = run == self.jobs_each - 1
            yield from self._job(number, run, is_open=is_open and newest, has_vanished=number % 50 == 0 and run == 0)

    def _job(self, number: int, run: int, *, is_open: bool, has_vanished: bool) -> Iterator[tuple[str, Row]]:
        begin, end = at(run * _HOUR), at(run * _HOUR + 900)
        status = JobStatus.RUNNING if is_open or has_vanished else _ENDS[(number + run) % len(_ENDS)]
        counts = CountsFact(indexed=1_000 + run, deleted=run, volume_bytes=1_048_576)
        fact = job(
            f"c{number}-{run}", f"c{number}", status, order_at=begin, created_at=begin, started_at=begin,
            completed_at=None if status.open else end, last_seen_at=end, processed=1_000 + run, counts=counts,
            worker_hostname="worker-1", details=details("ElasticJobDetails", {"pipeline": "search-default"}),
        )  # fmt: skip
        row = job_row(global_id(SYSTEM, self.name), self.name, fact)
        row |= {"created_order": int(begin.timestamp() * 1_000_000), "examine_due": False, "observed_at": None}
        row["moved_at"] = end if is_open else None
        yield "events", _of(job_event(None, row, begin))
        before = dict(row)
        if has_vanished:
            row |= {"status": JobStatus.UNKNOWN, "is_open": False, "fingerprint": None, "observed_at": at(_HOUR)}
            if number % 100:
                yield "events", {**_of(job_event(before, row, at(2 * _HOUR))), "changed_fields": "status"}
        elif not is_open:
            row["observed_at"] = end
            yield "events", _of(job_event({**before, "status": JobStatus.RUNNING, "completed_at": None}, row, end))
        if status is JobStatus.SUCCEEDED_WITH_ERRORS:
            yield "job_errors", {"job_id": row["id"], "position": 0, "message": "not readable", "document_id": "d"}
        if is_open:
            yield "conditions", self._condition(row)
        yield "jobs", row

    def _condition(self, of: Row) -> Row:
        return {
            "subject_id": of["id"], "code": ConditionCode.NO_PROGRESS, "system_id": of["system_id"],
            "connector_id": of["connector_id"], "job_id": of["id"], "severity": ConditionSeverity.WARNING,
            "since": at(_HOUR), "message": "nothing has moved", "evidence": "{}",
        }  # fmt: skip


def _of(event: Row | None) -> Row:
    assert event is not None
    return event


def _migrate(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", _FOLDER)
    config.attributes["connection"] = connection
    command.upgrade(config, REVISION)
    assert migration.current(connection) == REVISION


async def _insert(connection: AsyncConnection, table: Table, rows: Iterable[Row], is_sqlite: bool) -> None:
    """The columns that the table had then."""

    def plain(value: Any) -> Any:
        if isinstance(value, Enum):
            return value.value
        return value.replace(tzinfo=None) if is_sqlite and isinstance(value, datetime) else value

    names = [
        column.name
        for column in table.columns
        if not (column.primary_key and column.name == "id" and table.name == "outages")
    ]
    found = [{name: plain(row.get(name)) for name in names} for row in rows]
    for some in batches(found, _AT_ONCE):
        await connection.execute(insert(table), list(some))
