"""Conditions: what the engine judged, read in one go for all who are asked, beside what follows from the clock."""

import json
from collections import defaultdict
from typing import Any

from sqlalchemy import select

from connectory.store.reads.records import ConditionRecord, ConnectorRecord, JobRecord
from connectory.store.tables import CONDITIONS
from resolvers.context import Context

_C = CONDITIONS.c


async def connector_conditions(ctx: Context, connector: ConnectorRecord) -> list[ConditionRecord]:
    """Its own and those of its open jobs, in the order of their codes."""
    return _in_order([*connector.joined_conditions, *await _judged(ctx, _C.connector_id, connector.id)])


async def job_conditions(ctx: Context, job: JobRecord) -> list[ConditionRecord]:
    """Its own, in the order of their codes."""
    return _in_order(await _judged(ctx, _C.job_id, job.id))


async def _judged(ctx: Context, column: Any, key: str) -> list[ConditionRecord]:
    snapshot = await ctx.snapshot()

    async def by_key(keys: list[Any]) -> list[list[ConditionRecord]]:
        found: dict[str, list[ConditionRecord]] = defaultdict(list)
        columns = (column, _C.code, _C.severity, _C.message, _C.since, _C.evidence, _C.job_id)
        for key, code, severity, message, since, evidence, job_id in await snapshot.fetch(
            select(*columns).where(column.in_(keys))
        ):
            found[key].append(ConditionRecord(code, severity, message, since, json.loads(evidence) or None, job_id))
        return [found[key] for key in keys]

    found: list[ConditionRecord] = await ctx.loader(("conditions", column.name), by_key).load(key)
    return found


def _in_order(conditions: list[ConditionRecord]) -> list[ConditionRecord]:
    return sorted(conditions, key=lambda condition: (condition.code.value, condition.since, condition.job_id or ""))
