"""Filters as SQL: what a ConnectorFilter, a JobFilter, an EventFilter or a NoticeFilter lets through.

An empty list or "" is no criterion.
"""

import operator
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, false, func, not_, or_, select

from connectory.model import (
    ConditionCode,
    DeliveryStatus,
)
from connectory.store.reads.filters import ConnectorCriteria, EventCriteria, JobCriteria, LongCriteria, NoticeCriteria
from connectory.store.reads.records import DOWN, EventRecord, SystemRecord
from connectory.store.reads.snapshot import Snapshot
from connectory.store.tables import CONDITIONS, CONNECTORS, DELIVERIES, EVENTS, JOBS, NOTICES

Criterion = ColumnElement[bool]

#: Characters of a searched part of a name; SQLite refuses much longer ones, and no name is as long.
_LONGEST_PART = 5000

#: What a job read: its own word where it tells one, else its connector's.
JOB_SOURCE = func.coalesce(
    JOBS.c.source,
    select(CONNECTORS.c.source).where(CONNECTORS.c.id == JOBS.c.connector_id).correlate(JOBS).scalar_subquery(),
)


def connector_criteria(filter: ConnectorCriteria | None, snapshot: Snapshot) -> list[Criterion]:
    """What rows of the connectors table must meet; removed ones are left out unless asked for."""
    c = CONNECTORS.c
    if filter is None:
        return [c.system_id.in_(list(snapshot.systems)), c.removed_at.is_(None)]
    systems = [
        system.id
        for system in snapshot.systems.values()
        if (not filter.systems or system.name in filter.systems) and (not filter.kinds or system.kind in filter.kinds)
    ]
    found: list[Criterion] = [c.system_id.in_(systems)]
    for column, wanted in (
        (c.source, filter.sources),
        (c.mode, filter.modes),
        (c.access_type, filter.access_types),
        (c.status, filter.statuses),
        (c.health, filter.healths),
        (c.last_job_status, filter.last_job_statuses),
    ):
        if wanted:
            found.append(_among(column, wanted))
    if filter.conditions:
        found.append(_conditions(filter.conditions, snapshot))
    if filter.docs_indexed is not None:
        found += _long(c.docs_indexed, filter.docs_indexed)
    if filter.name_contains:
        found.append(_contains(c.name_key, filter.name_contains.casefold()))
    if filter.in_progress is not None:
        found.append(c.in_progress.is_(filter.in_progress))
    if filter.is_stale is not None:
        stale = stale_criterion(snapshot)
        found.append(stale if filter.is_stale else not_(stale))
    if not filter.include_removed:
        found.append(c.removed_at.is_(None))
    return found


def job_criteria(filter: JobCriteria | None, snapshot: Snapshot) -> list[Criterion]:
    """What rows of the jobs table must meet. Jobs of removed connectors stay."""
    c = JOBS.c
    if filter is None:
        return [c.system_id.in_(list(snapshot.systems))]
    found: list[Criterion] = [c.system_id.in_(_named(filter.systems, snapshot))]
    for column, wanted in (
        (c.connector_id, filter.connector_ids),
        (c.status, filter.statuses),
        (c.type, filter.types),
        (c.trigger, filter.triggers),
    ):
        if wanted:
            found.append(_among(column, wanted))
    if filter.sources:
        found.append(_job_source(filter.sources))
    for column, after, before in (
        (c.started_at, filter.started_after, filter.started_before),
        (c.completed_at, filter.completed_after, filter.completed_before),
    ):
        if after is not None:
            found.append(column > after)
        if before is not None:
            found.append(column < before)
    if filter.conditions:
        found.append(c.id.in_(_judged(CONDITIONS.c.job_id, filter.conditions)))
    return found


def event_criteria(filter: EventCriteria | None, snapshot: Snapshot) -> list[Criterion]:
    """What rows of the change log must meet. A connector's events include those of its jobs."""
    c = EVENTS.c
    found: list[Criterion] = [c.system_id.in_(_named(filter.systems if filter else None, snapshot))]
    for column, wanted in (
        (c.connector_id, filter and filter.connector_ids),
        (c.job_id, filter and filter.job_ids),
        (c.kind, filter and filter.kinds),
    ):
        if wanted:
            found.append(_among(column, wanted))
    return found


def notice_criteria(filter: NoticeCriteria | None, snapshot: Snapshot) -> list[Criterion]:
    """What rows of the notices table must meet; those that wait to be raised are nobody's business yet."""
    c = NOTICES.c
    found: list[Criterion] = [c.system_id.in_(_named(filter.systems if filter else None, snapshot))]
    found.append(c.raised_at.is_not(None))
    if filter is None:
        return found
    for column, wanted in (
        (c.connector_id, filter.connector_ids),
        (c.kind, filter.kinds),
        (c.severity, filter.severities),
    ):
        if wanted:
            found.append(_among(column, wanted))
    if filter.delivery_statuses:
        found.append(_delivered_so(filter.delivery_statuses))
    for column, is_null in ((c.recovered_at, filter.open), (c.acknowledged_at, _opposite(filter.acknowledged))):
        if is_null is not None:
            found.append(column.is_(None) if is_null else column.is_not(None))
    return found


def _opposite(wanted: bool | None) -> bool | None:
    return None if wanted is None else not wanted


def _delivered_so(statuses: Sequence[DeliveryStatus]) -> Criterion:
    """One of its deliveries at least has come to one of these."""
    d = DELIVERIES.c
    neither = and_(d.delivered_at.is_(None), d.dead_at.is_(None))
    ends = {
        DeliveryStatus.PENDING: neither,
        DeliveryStatus.DELIVERED: d.delivered_at.is_not(None),
        DeliveryStatus.DEAD: d.dead_at.is_not(None),
    }
    so: Criterion = NOTICES.c.id.in_(select(d.notice_id).where(or_(*(ends[status] for status in statuses))))
    return so


def lets_through(filter: EventCriteria | None, event: EventRecord, systems: Mapping[str, SystemRecord]) -> bool:
    """``event_criteria`` for a row that is at hand. ``systems``: the configured ones, by id."""
    system = systems.get(event.system_id)
    if system is None:
        return False
    if filter is None:
        return True
    return all(
        not wanted or value in wanted
        for value, wanted in (
            (system.name, filter.systems),
            (event.connector_id, filter.connector_ids),
            (event.job_id, filter.job_ids),
            (event.kind, filter.kinds),
        )
    )


def stale_criterion(snapshot: Snapshot) -> Criterion:
    """Connectors whose values are older than their system's freshness limit."""
    c = CONNECTORS.c
    found = []
    for system in snapshot.systems.values():
        own = c.observed_at < snapshot.now - (system.fresh_until(snapshot.now) - snapshot.now)
        system_is_stale = system.observed_at is not None and snapshot.now > system.fresh_until(system.observed_at)
        stale = or_(own, c.observed_at.is_(None)) if system_is_stale else own
        found.append(and_(c.system_id == system.id, stale.is_(True)))
    return or_(false(), *found)


def _conditions(codes: Sequence[ConditionCode], snapshot: Snapshot) -> Criterion:
    """Connectors that show any of these: two codes follow from the system and the clock, the others are stored."""
    found: list[Criterion] = [CONNECTORS.c.id.in_(_judged(CONDITIONS.c.connector_id, codes))]
    if ConditionCode.STALE in codes:
        found.append(stale_criterion(snapshot))
    if ConditionCode.SYSTEM_DOWN in codes:
        found.append(CONNECTORS.c.system_id.in_([s.id for s in snapshot.systems.values() if s.health in DOWN]))
    return or_(*found)


def _judged(column: Any, codes: Sequence[ConditionCode]) -> Any:
    """The values of ``column`` of the stored conditions with these codes."""
    return select(column).where(column.is_not(None), CONDITIONS.c.code.in_(list(dict.fromkeys(codes))))


def _among(column: Any, wanted: Sequence[Any]) -> Criterion:
    """Equal to one of ``wanted``. Text with a NUL is in no store, and PostgreSQL would not even look for it."""
    values = [value for value in dict.fromkeys(wanted) if not (isinstance(value, str) and "\x00" in value)]
    among: Criterion = column.in_(values)
    return among


def _contains(column: Any, part: str) -> Criterion:
    if "\x00" in part or len(part) > _LONGEST_PART:
        return false()
    found: Criterion = column.contains(part, autoescape=True)
    return found


def _job_source(sources: Sequence[str]) -> Criterion:
    """JOB_SOURCE is one of ``sources``, in a form that indexes serve."""
    theirs = select(CONNECTORS.c.id).where(_among(CONNECTORS.c.source, sources))
    return or_(_among(JOBS.c.source, sources), and_(JOBS.c.source.is_(None), JOBS.c.connector_id.in_(theirs)))


def _named(names: Sequence[str] | None, snapshot: Snapshot) -> list[str]:
    def wanted(system: SystemRecord) -> bool:
        return not names or system.name in names

    return [system.id for system in snapshot.systems.values() if wanted(system)]


_COMPARISONS = {"eq": operator.eq, "gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}


def _long(column: Any, bounds: LongCriteria) -> list[Criterion]:
    wanted = {name: getattr(bounds, name) for name in _COMPARISONS}
    return [_COMPARISONS[name](column, bound) for name, bound in wanted.items() if bound is not None]
