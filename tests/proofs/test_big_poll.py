"""A poll of thousands of connectors and jobs in one answer: nothing of it is lost, told twice or forgotten.

Size: 5,000 connectors and 20,000 jobs; FULL=1: 10,000 and 200,000.
"""

import time

from connectory.store import Store
from tests.engine.stage import Stage
from tests.engine.test_commit import big_poll
from tests.proofs.conftest import Figures
from tests.proofs.size import size


async def test_a_big_poll(store: Store, figures: Figures) -> None:
    connectors, jobs = size((5_000, 20_000), (10_000, 200_000))
    begun = time.process_time()
    await big_poll(await Stage.open(store), connectors, jobs)
    spent = time.process_time() - begun
    figures(f"{connectors:,} connectors, {jobs:,} jobs, five polls and a restart: {spent:.1f} s of processor time")
