"""Facts and sources for tests of what comes behind the adapters."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from connectory.engine import ConfiguredSystem
from connectory.model import (
    Capability,
    ConnectorFact,
    ConnectorStatus,
    HistoryBatch,
    JobFact,
    JobFindings,
    JobStatus,
    JobType,
    Known,
    Observation,
)
from sources.base import ROLLED_UP, Source, SourceKind, SystemSettings
from sources.reading import details

T0 = datetime(2026, 8, 20, 10, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def connector(id: str = "a", **fields: Any) -> ConnectorFact:
    defaults: dict[str, Any] = {"name": f"Connector {id}", "source": "web", "status": ConnectorStatus.ACTIVE}
    return ConnectorFact(external_id=id, **(defaults | fields))


def job(id: str, of: str | None = "a", status: JobStatus = JobStatus.SUCCEEDED, **fields: Any) -> JobFact:
    defaults: dict[str, Any] = {"order_at": T0, "type": JobType.FULL}
    return JobFact(external_id=id, connector=of, status=status, **(defaults | fields))


class Scripted(Source):
    """A source that says what the test puts into it: ``says`` is an Observation, an exception, or a function."""

    def __init__(self) -> None:
        self.says: Observation | Exception | Callable[[Known], Observation] = Observation(connectors=[])
        self.past: Sequence[HistoryBatch] = ()
        self.polls = 0
        self.hangs: asyncio.Event | None = None
        self.closed = False
        #: what a look at running jobs sees, and the jobs that each look was asked for
        self.sees: Observation | Exception = Observation(connectors=[], complete=False)
        self.looks: list[frozenset[str]] = []
        #: what a closer look finds, and the (connector, jobs) that each was asked for
        self.finds: Mapping[str, JobFindings] | Exception = {}
        self.examined: list[tuple[str, frozenset[str]]] = []

    async def poll(self, known: Known) -> Observation:
        self.polls += 1
        if self.hangs is not None:
            await self.hangs.wait()
        if isinstance(self.says, Exception):
            raise self.says
        return self.says(known) if callable(self.says) else self.says

    async def history(self, known: Known, connectors: frozenset[str]) -> AsyncIterator[HistoryBatch]:
        for batch in self.past:
            yield batch
        yield HistoryBatch(jobs=[], finished=connectors)

    async def look(self, known: Known, jobs: frozenset[str]) -> Observation:
        self.looks.append(jobs)
        if isinstance(self.sees, Exception):
            raise self.sees
        return self.sees

    async def examine(self, connector: str, jobs: frozenset[str]) -> Mapping[str, JobFindings]:
        self.examined.append((connector, jobs))
        if isinstance(self.finds, Exception):
            raise self.finds
        return self.finds

    async def close(self) -> None:
        self.closed = True


def configured(
    source: Any,
    name: str = "scripted",
    *,
    rolls_up: frozenset[str] = ROLLED_UP,
    examines: bool = False,
    **times: float,
) -> ConfiguredSystem:
    """A system over ``source``, polled fast unless ``times`` say otherwise."""
    kind = SourceKind(
        "scripted",
        SystemSettings,
        open=lambda _: source,
        capabilities=frozenset({Capability.JOB_HISTORY}),
        rolls_up=rolls_up,
        examines=examines,
    )
    defaults = dict.fromkeys(("poll_interval", "live_interval"), 0.02)
    defaults |= {"stale_after": 90.0, "max_backoff": 0.1, "auth_probe_interval": 0.2}
    settings = SystemSettings.model_validate({"name": name, "kind": "scripted", "url": "http://127.0.0.1:1"})
    return ConfiguredSystem(kind=kind, settings=settings, **(defaults | times))


__all__ = ["T0", "Scripted", "at", "configured", "connector", "details", "job"]
