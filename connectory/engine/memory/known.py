"""What adapters are told of earlier polls: read back from the store, and kept up as facts are committed."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from connectory.engine.pace import SystemState
from connectory.model import RUNNING, JobFact, Known, KnownConnector
from connectory.slices import slices
from connectory.store.reads.recall import newest_order, open_jobs, stored_connectors, system_columns
from connectory.store.tables.identity import external_id
from connectory.store.transactions import Transaction

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def recall(transaction: Transaction, system_id: str) -> tuple[Known, SystemState]:
    """The memory of earlier polls, whichever process made them."""
    known = Known()
    async for connectors in slices(await stored_connectors(transaction, system_id)):
        for row in connectors:
            known.connectors[external_id(row.id)] = KnownConnector(
                fingerprint=row.fingerprint,
                latest_job=None if row.latest_job_id is None else external_id(row.latest_job_id),
                history_read=row.history_read,
                missed_polls=row.missed_polls,
                is_missing=row.observed_at is not None,
                is_removed=row.removed_at is not None,
            )
    async for jobs in slices(await open_jobs(transaction, system_id, ("id", "connector_id", "status"))):
        for job in jobs:
            name, connector_id = external_id(job["id"]), job["connector_id"]
            known.open_jobs[name] = None if connector_id is None else external_id(connector_id)
            if job["status"] in RUNNING:
                known.running_jobs.add(name)
    newest = await newest_order(transaction, system_id)
    known.newest_job_at = None if newest is None else _EPOCH + timedelta(microseconds=newest)
    state = await system_columns(transaction, system_id, tuple(SystemState.__dataclass_fields__))
    return known, SystemState(**state)


async def follow_jobs(known: Known, facts: Iterable[JobFact]) -> None:
    """Which jobs are open, which run, and how new the newest is, once these facts have been committed."""
    opened: dict[str, str | None] = {}
    ended: set[str] = set()
    running: set[str] = set()
    at_rest: set[str] = set()
    newest = known.newest_job_at
    async for some in slices(facts):
        for fact in some:
            name = fact.external_id
            is_open = fact.status.open and not fact.ended
            if is_open:
                opened[name] = fact.connector
            else:
                ended.add(name)
            (running if is_open and fact.status in RUNNING else at_rest).add(name)
            newest = fact.order_at if newest is None else max(newest, fact.order_at)
    # in one go: adapters and looks read them at any time
    known.open_jobs.update(opened)
    for name in ended & known.open_jobs.keys():
        del known.open_jobs[name]
    known.running_jobs |= running
    known.running_jobs -= at_rest
    known.newest_job_at = newest
