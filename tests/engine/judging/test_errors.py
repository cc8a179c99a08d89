"""Documents that failed, and errors that grow in number."""

from typing import Any

import pytest

from connectory.engine.judging.views import ConnectorView
from connectory.model import ConnectorMode, ConnectorStatus, JobStatus, JobType
from tests.engine.judging.views import codes, connector, found, job, only, run, samples, since

F, OK, ERRORS = JobStatus.FAILED, JobStatus.SUCCEEDED, JobStatus.SUCCEEDED_WITH_ERRORS
STREAMING = ConnectorMode.STREAMING


@pytest.mark.parametrize(
    ("of", "subjects"),
    [
        pytest.param(connector(), set(), id="nothing ran"),
        pytest.param(connector(job(failed=2)), {"j"}, id="the open run"),
        pytest.param(connector(job(failed=0)), set(), id="no failures"),
        pytest.param(connector(job()), set(), id="failures that are not counted"),
        pytest.param(connector(job(failed=2, type=JobType.ACCESS_CONTROL)), set(), id="permissions are no documents"),
        pytest.param(connector(job(failed=2, type=JobType.STREAM)), set(), id="a stream's total says nothing"),
        pytest.param(connector(runs=[run(failed=2)]), {"c"}, id="the newest that ended"),
        pytest.param(connector(job(failed=1), runs=[run(failed=2)]), {"c", "j"}, id="both"),
        pytest.param(connector(runs=[run(status=ERRORS)]), {"c"}, id="the upstream says so without a number"),
        pytest.param(connector(runs=[run(failed=0)]), set(), id="a clean run"),
        pytest.param(connector(runs=[run("n"), run("o", failed=9)]), set(), id="an older one does not count"),
        pytest.param(
            connector(runs=[run("n", JobStatus.CANCELED), run("o", failed=9)]), {"c"}, id="a canceled one says nothing"
        ),
        pytest.param(connector(runs=[run("n", F), run("o", ERRORS)]), {"c"}, id="nor does one that failed as a whole"),
        pytest.param(connector(runs=[run("n", JobStatus.CANCELED, failed=1)]), {"c"}, id="unless some failed"),
        pytest.param(connector(runs=[run(failed=9)], mode=STREAMING), set(), id="records of a stream"),
    ],
)
def test_documents(of: ConnectorView, subjects: set[str]) -> None:
    holds = found(of, 60)
    assert {f.code.name for f in holds} <= {"DOCUMENT_ERRORS"}
    assert {f.subject_id for f in holds} == subjects


def test_it_tells_how_many_and_of_which_run() -> None:
    finding = only(connector(runs=[run(failed=1200, completed_at=-60)]), 0)
    assert (finding.message, since(finding)) == ("1,200 documents failed in its last run.", -60)
    assert finding.evidence == {"failed": 1200, "jobId": "r"}


def test_a_run_that_was_canceled_since_is_not_the_one() -> None:
    finding = only(connector(runs=[run("n", JobStatus.CANCELED), run("o", failed=9, completed_at=-60)]), 0)
    assert finding.message == "9 documents failed in its run that ended at 2026-08-20 09:59 UTC."


def test_nothing_begins_in_the_future() -> None:
    """An upstream whose clock is ahead."""
    assert since(only(connector(runs=[run(failed=1, completed_at=500)]), 60)) == 60


def test_errors_of_every_run_began_with_the_first() -> None:
    before = only(connector(runs=[run("a", failed=2, completed_at=-60)]), 0)
    after = only(connector(runs=[run("b", failed=3, completed_at=60)]), 60, before=[before])
    assert (after.since, after.evidence["jobId"]) == (before.since, "b")
    assert found(connector(runs=[run("c", completed_at=120)]), 120, before=[after]) == []
    assert found(connector(runs=[run("c", JobStatus.CANCELED)]), 120, before=[after]) == [after]


GROWN = samples((0, 5), (15, 5), (30, 7))


@pytest.mark.parametrize("kind", ["parse", "transport"])
@pytest.mark.parametrize(
    ("counted", "seconds", "holds"),
    [
        pytest.param((), 60, False, id="not counted"),
        pytest.param(samples((0, 900)), 60, False, id="a total alone says nothing"),
        pytest.param(samples((0, 900), (15, 900), (30, 900)), 60, False, id="a total that stays"),
        pytest.param(GROWN, 30, True, id="it grew"),
        pytest.param(GROWN, 329, True, id="it grew within the window"),
        pytest.param(GROWN, 330, False, id="it grew before"),
        pytest.param(samples((0, 900), (15, 0), (30, 0)), 60, False, id="a counter that was reset"),
        pytest.param(samples((0, 900), (15, 3)), 60, False, id="a counter that was reset and has counted since"),
        pytest.param(samples((0, 900), (15, 0), (30, 1)), 60, True, id="it grew after its reset"),
        pytest.param(samples((60, 5), (30, 6)), 60, True, id="a clock that was set back between"),
    ],
)
def test_growth(kind: str, counted: Any, seconds: float, holds: bool) -> None:
    of = connector(mode=STREAMING, **{f"{kind}_errors": counted})
    assert codes(of, seconds) == ({f"{kind.upper()}_ERRORS"} if holds else set())


def test_growth_tells_where_it_began() -> None:
    before = only(connector(parse_errors=GROWN), 30)
    assert since(before) == 30
    assert before.message == "Records could not be parsed; the first of them was counted at 2026-08-20 10:00 UTC."
    assert before.evidence == {
        "total": 7,
        "totalBefore": 5,
        "lastGrewAt": "2026-08-20T10:00:30Z",
        "windowSeconds": 300.0,
    }
    later = only(connector(parse_errors=(*GROWN, *samples((300, 9)))), 500, before=[before])
    assert (later.since, later.evidence["total"], later.evidence["totalBefore"]) == (before.since, 9, 5)


def test_growth_ends_with_a_window_that_was_watched() -> None:
    held = only(connector(parse_errors=GROWN), 30)
    # begun anew: nothing is remembered of the counter
    assert codes(connector(), 1000, before=[held]) == {"PARSE_ERRORS"}
    assert codes(connector(parse_errors=samples((1000, 9))), 1299, before=[held]) == {"PARSE_ERRORS"}
    assert codes(connector(parse_errors=samples((1000, 9))), 1300, before=[held]) == set()
    # it is what it was when it last grew, so it has not grown meanwhile
    assert codes(connector(parse_errors=samples((300, 7))), 329, before=[held]) == {"PARSE_ERRORS"}
    assert codes(connector(parse_errors=samples((300, 7))), 330, before=[held]) == set()
    assert codes(connector(status=ConnectorStatus.INACTIVE), 1000, before=[held]) == set()
