"""A job that its upstream resumes and counts anew keeps what it had done before."""

from typing import Any

from connectory.engine.recording.segments import MOST, was_resumed
from connectory.model import CountsFact, JobFact, JobStatus, JobType
from connectory.store import Store
from connectory.store.tables import JOB_SEGMENTS
from tests.api.world import Asker
from tests.engine.stage import Stage, rows
from tests.facts import at, connector, job

A = connector("a")
EARLIER = """{ jobs { nodes { status startedAt progress { processed } earlierStretches {
    startedAt endedAt processed counts { indexed deleted failed volumeBytes total } } } } }"""


def run(start: float | None, processed: int | None, status: JobStatus = JobStatus.RUNNING, **fields: Any) -> JobFact:
    """A sync job of Elastic as a poll sees it: its worker is heard of a minute after its start."""
    usual: dict[str, Any] = {"counts": CountsFact(indexed=processed, deleted=0 if processed else None)}
    if start is not None:
        usual |= {"started_at": at(start), "last_seen_at": at(start + 60)}
    return job("1", "a", status, **(usual | {"processed": processed, "order_at": at(0)} | fields))


async def polls(stage: Stage, *jobs: JobFact) -> None:
    for each in jobs:
        await stage.poll([A], [each])


async def processed(stage: Stage) -> list[tuple[int, int | None]]:
    return [(row["number"], row["processed"]) for row in await rows(stage.store, JOB_SEGMENTS)]


async def test_a_resumed_job_keeps_its_earlier_numbers(store: Store) -> None:
    stage = await Stage.open(store)
    waits = run(0, 700, JobStatus.SUSPENDED)
    await polls(stage, run(None, None, JobStatus.PENDING), run(0, 100), run(0, 700), waits, run(500, 0), run(500, 90))
    (found,) = (await Asker(store, at(600))(EARLIER))["jobs"]["nodes"]
    assert found["progress"] == {"processed": 90}
    assert found["earlierStretches"] == [
        {
            "startedAt": at(0).isoformat(),
            "endedAt": at(60).isoformat(),
            "processed": 700,
            "counts": {"indexed": 700, "deleted": 0, "failed": None, "volumeBytes": None, "total": None},
        }
    ]
    await polls(stage, run(500, 800), run(900, None), run(900, 5), run(900, 6, JobStatus.SUCCEEDED))
    assert await processed(stage) == [(1, 700), (2, 800)]


async def test_a_start_and_counts_that_are_renewed_one_after_the_other_are_one_resumption(store: Store) -> None:
    stage = await Stage.open(store)
    await polls(stage, run(0, 700), run(500, 700), run(500, 3), run(500, 400))
    assert await processed(stage) == [(1, 700)]
    await polls(stage, run(500, 10), run(800, 10), run(800, 30))
    assert await processed(stage) == [(1, 700), (2, 400)]


async def test_one_that_only_goes_on_has_no_earlier_segments(store: Store) -> None:
    stage = await Stage.open(store)
    jobs = [run(None, None), run(0, 5), run(0, 5, JobStatus.SUSPENDED), run(0, 9), run(0, 9, JobStatus.SUCCEEDED)]
    await polls(stage, *jobs)
    assert await processed(stage) == []
    (found,) = (await Asker(store)(EARLIER))["jobs"]["nodes"]
    assert found["earlierStretches"] == []


async def test_a_job_that_is_resumed_for_ever_keeps_the_newest_segments(store: Store) -> None:
    stage = await Stage.open(store)
    await polls(stage, *(run(100 * n, n) for n in range(MOST + 6)))
    assert await processed(stage) == [(n + 1, n) for n in range(5, MOST + 5)]


def test_what_counts_as_resumed() -> None:
    def row(start: float | None, count: int | None, type_: JobType = JobType.FULL) -> dict[str, Any]:
        return {"started_at": None if start is None else at(start), "processed": count, "type": type_}

    for before, after, expected in (
        (row(None, None), row(0, 0), False),
        (row(0, 10), row(1, 10), True),
        (row(1, 10), row(0, 10), False),
        (row(0, 10), row(None, None), False),
        (row(0, 10), row(0, 9), False),  # a counter that was corrected
        (row(0, 10), row(0, 4), True),
        (row(0, 10), row(0, None), False),
        (row(0, 10, JobType.STREAM), row(0, 4, JobType.STREAM), False),
    ):
        assert was_resumed(before, after) is expected, (before, after)
