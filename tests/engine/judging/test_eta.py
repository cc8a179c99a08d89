"""When a job will end, and how far it has come: what is told, and what is rather not."""

from typing import Any

import pytest

from connectory.eta import Progress, estimate, percent
from connectory.model import EtaBasis, JobStatus
from tests.engine.judging.views import moment
from tests.facts import at

RUNNING, OK = JobStatus.RUNNING, JobStatus.SUCCEEDED
TOTAL, PAST, NONE = EtaBasis.TOTAL_KNOWN, EtaBasis.PAST_RUNS, EtaBasis.NONE


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        pytest.param({}, (None, NONE), id="nothing is known"),
        pytest.param({"total": 100, "done": 40, "rate": 2.0}, (30, TOTAL), id="a total and a rate"),
        pytest.param({"total": 100, "done": 40, "rate": 2.0, "seen": 50}, (20, TOTAL), id="counted a while ago"),
        pytest.param({"total": 100, "done": 40, "rate": 2.0, "seen": 0}, (None, NONE), id="it should be over"),
        pytest.param({"total": 100, "done": 40, "rate": 2.0, "seen": 99}, (30, TOTAL), id="a clock set back"),
        pytest.param({"total": 100, "done": 100, "rate": 2.0}, (None, NONE), id="all is done, but not ended"),
        pytest.param({"total": 100, "done": 40, "rate": 0.0}, (None, NONE), id="a standstill"),
        pytest.param({"total": 100, "done": 40, "rate": -1.0}, (None, NONE), id="a rate that makes no sense"),
        pytest.param({"total": 100, "done": 40}, (None, NONE), id="no rate, no past"),
        pytest.param({"total": 100, "done": 40, "lasts": 90}, (30, PAST), id="no rate yet: how long it takes"),
        pytest.param({"total": 100, "done": 0, "rate": 0.0, "lasts": 90}, (None, NONE), id="nothing has moved"),
        pytest.param({"done": 0, "lasts": 90}, (None, NONE), id="nothing has moved, and no rate yet"),
        pytest.param({"done": 0, "rate": 0.0, "size": 9, "lasts": 90}, (None, NONE), id="nor does its size help"),
        pytest.param({"done": 9, "rate": 0.0, "lasts": 90}, (None, NONE), id="a standstill of what has no size"),
        pytest.param({"total": 2_592_001, "done": 1, "rate": 1.0}, (30 * 86_400, TOTAL), id="thirty days"),
        pytest.param({"total": 2_592_002, "done": 1, "rate": 1.0}, (None, NONE), id="further off than is looked"),
        pytest.param({"size": 901, "done": 1, "rate": 1.0, "lasts": 90}, (900, PAST), id="ten times as long as ever"),
        pytest.param({"size": 902, "done": 1, "rate": 1.0, "lasts": 90}, (None, NONE), id="and it is not like them"),
        pytest.param({"total": 902, "done": 1, "rate": 1.0, "lasts": 90}, (901, TOTAL), id="a total may be larger"),
        pytest.param({"lasts": 1e7}, (None, NONE), id="a duration of months"),
        pytest.param({"total": 100, "lasts": 90}, (30, PAST), id="no counter"),
        pytest.param({"lasts": 90}, (30, PAST), id="only a duration"),
        pytest.param({"lasts": 60}, (None, NONE), id="it outlives its duration"),
        pytest.param({"lasts": 90, "started_at": None}, (None, NONE), id="a start that nobody told"),
        pytest.param({"lasts": 90, "started_at": 500}, (90, PAST), id="a start in the future"),
        pytest.param({"size": 100, "done": 40, "rate": 2.0, "lasts": 999}, (30, PAST), id="a size and a rate"),
        pytest.param({"size": 100, "done": 100, "rate": 2.0, "lasts": 999}, (None, NONE), id="it outlives its size"),
        pytest.param({"size": 100, "done": 120, "rate": 2.0, "lasts": 999}, (None, NONE), id="it is larger than ever"),
        pytest.param({"size": 100, "done": 40, "rate": 0.0, "lasts": 999}, (None, NONE), id="past runs did not stand"),
        pytest.param({"total": 30, "done": 40, "rate": 2.0}, (None, NONE), id="a total that was passed is not true"),
        pytest.param({"total": 30, "done": 40, "rate": 2.0, "size": 50}, (5, PAST), id="then past runs tell"),
        pytest.param({"total": 0, "done": 0, "rate": 1.0}, (None, NONE), id="nothing to do"),
        pytest.param({"status": JobStatus.PENDING, "lasts": 90}, (None, NONE), id="not begun"),
        pytest.param({"status": JobStatus.SUSPENDED, "lasts": 90}, (None, NONE), id="suspended"),
        pytest.param({"status": JobStatus.CANCELING, "lasts": 90}, (None, NONE), id="it is to stop sooner"),
        pytest.param({"total": 100, "done": 1, "rate": 7.0}, (14.1, TOTAL), id="a tenth of a second is enough"),
        pytest.param({"total": 100, "done": 99, "rate": 50.0}, (0.1, TOTAL), id="what is left is never nothing"),
        pytest.param({"status": OK, "lasts": 90}, (None, NONE), id="ended"),
    ],
)  # fmt: skip
def test_estimate(case: dict[str, Any], expected: tuple[float | None, EtaBasis]) -> None:
    """A minute after its start."""
    progress = Progress(
        status=case.get("status", RUNNING),
        processed=case.get("done"),
        total=case.get("total"),
        rate_per_second=case.get("rate"),
        counted_at=moment(case.get("seen")),
        expected_seconds=case.get("lasts"),
        expected_processed=case.get("size"),
        started_at=moment(case.get("started_at", 0)),
    )
    found = estimate(progress, at(60))
    assert (found.seconds, found.basis) == expected


@pytest.mark.parametrize(
    ("status", "processed", "total", "expected"),
    [
        (RUNNING, 0, 200, 0.0),
        (RUNNING, 100, 200, 50.0),
        (RUNNING, 199, 200, 99.0),
        (RUNNING, 200, 200, 99.0),
        (RUNNING, 201, 200, None),
        (JobStatus.CANCELING, 200, 200, 99.0),
        (OK, 200, 200, 100.0),
        (OK, 150, 200, 75.0),
        (OK, 201, 200, None),
        (RUNNING, None, 200, None),
        (RUNNING, 100, None, None),
        (RUNNING, 0, 0, None),
        (RUNNING, 2**62, 2**63, 50.0),
    ],
)
def test_percent(status: JobStatus, processed: int | None, total: int | None, expected: float | None) -> None:
    assert percent(status, processed, total) == expected
