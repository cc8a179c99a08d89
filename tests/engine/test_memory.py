"""What is remembered of a system follows what has been committed, and nothing else."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from connectory.engine import Engine
from connectory.engine.recording.commit import Commit
from connectory.model import JobFindings, JobStatus, Observation, Problem, SystemErrorCode
from connectory.store import Store
from connectory.store.tables import JOBS, SYSTEMS
from connectory.store.tables.identity import CONNECTOR, global_id
from tests.engine.stage import Stage, rows
from tests.facts import Scripted, at, configured, connector, job
from tests.wait import until


async def test_an_answer_that_is_refused_leaves_no_trace_in_memory(store: Store) -> None:
    stage = await Stage.open(store)
    id = global_id(CONNECTOR, stage.name, "a")
    await stage.poll([connector(worker_seen_at=at(1), parse_errors=1)], [job("1", status=JobStatus.RUNNING)])
    await stage.restart()
    stage.seconds += 300
    later = connector(worker_seen_at=at(2), parse_errors=2, blocks_checkpoint=True)
    with pytest.raises(Exception, match=r"(?i)int"):
        await stage.poll([later], [job("1", status=JobStatus.RUNNING, processed=2**80)])
    assert list(stage.memory.gaps) == []
    assert stage.memory.foreseen(id, None, stage.now).kept == (await kept(stage))
    await stage.poll([later], [job("1", status=JobStatus.RUNNING, processed=2)])
    row = await stage.connector()
    assert (row["worker_moved_at"], row["blocks_since"]) == (stage.now, stage.now)
    assert [gap.end for gap in stage.memory.gaps] == [stage.now]


async def kept(stage: Stage) -> dict[str, Any]:
    row = await stage.connector()
    names = ("first_seen_at", "blocks_since", "worker_seen_at", "worker_moved_at", "parse_errors", "transport_errors")
    return {name: row[name] for name in names}


async def test_a_wait_that_is_asked_for_during_a_polls_commit_is_shown_after_it(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source, commits, gate, original = Scripted(), asyncio.Event(), asyncio.Event(), Commit.poll
    source.says = Observation(connectors=[connector()])

    async def poll_later(self: Commit, *given: Any) -> int | None:
        commits.set()
        await gate.wait()
        return await original(self, *given)

    monkeypatch.setattr(Commit, "poll", poll_later)
    engine = Engine(store, [configured(source)])
    await engine.start()
    try:
        await asyncio.wait_for(commits.wait(), 10)
        session = engine.pollers["scripted"]._session
        known = session.known
        asking = asyncio.create_task(session.hold([Problem(SystemErrorCode.RATE_LIMITED, "slowly", retry_after=600.0)]))

        async def waits() -> bool:
            return session.held > 0

        await until(waits)
        gate.set()
        await asking
        (system,) = await rows(store, SYSTEMS)
        assert "could not be stored" not in caplog.text
        assert (system["error_code"], system["error_message"]) == (SystemErrorCode.RATE_LIMITED, "slowly")
        assert system["last_success_at"] is not None, "the poll has been stored, too"
        assert session.known is known
    finally:
        await engine.stop()


class Looking(Scripted):
    """The first closer look takes until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()

    async def examine(self, connector: str, jobs: frozenset[str]) -> Mapping[str, JobFindings]:
        found = await super().examine(connector, jobs)
        await self.go.wait()
        return found


async def test_a_job_that_changed_while_it_was_looked_at_is_looked_at_again(store: Store) -> None:
    source = Looking()
    source.says = Observation(connectors=[connector()], jobs=[job("1", completed_at=at(5))])
    engine = Engine(store, [configured(source, examines=True)])
    await engine.start()
    try:

        async def looks() -> bool:
            return bool(source.examined)

        await until(looks)
        source.says = Observation(connectors=[connector()], jobs=[job("1", completed_at=at(6))])

        async def has_changed() -> bool:
            return [row["completed_at"] for row in await rows(store, JOBS)] == [at(6)]

        await until(has_changed)
        source.go.set()

        async def is_done() -> bool:
            return not (await rows(store, JOBS))[0]["examine_due"]

        await until(is_done)
    finally:
        await engine.stop()
    assert source.examined == [("a", frozenset({"1"}))] * 2
