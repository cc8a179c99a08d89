"""The example keeps every promise that an adapter makes, and knows how far a running job has come."""

from connectory_scriptorium import SOURCE
from connectory_scriptorium.simulator import ScriptoriumWorld

from connectory.model import JobStatus, Known
from sources.base import Source
from tests.sources.contract import SourceContract, Upstream


class TestScriptorium(SourceContract):
    kind = SOURCE

    def jobs_held(self, world: ScriptoriumWorld) -> set[str]:
        return {str(number) for number in world.batches}

    async def test_a_look_tells_how_far_a_batch_has_come(self, source: Source, upstream: Upstream) -> None:
        seen = await source.poll(Known())
        running = next(job for job in seen.jobs if job.status is JobStatus.RUNNING)
        upstream.hand.move(10)
        (job,) = (await source.look(Known(), frozenset({running.external_id}))).jobs
        assert (running.processed or 0) < (job.processed or 0) <= (job.total or 0)
        assert job.total == running.total
