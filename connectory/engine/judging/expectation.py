"""What a run is to be expected to take, from those before it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import median

from connectory.engine.judging.views import Run
from connectory.model import SUCCEEDED, JobType

#: Fewer runs tell nothing; older ones than this many tell of another time.
_AT_LEAST, _AT_MOST = 3, 9
#: Where half of the values are further from their median than this share of it, they have nothing in common.
_SPREAD = 0.5


@dataclass(frozen=True, slots=True)
class Expectation:
    """Medians over the newest runs of the same connector and type that succeeded; None where they tell nothing."""

    seconds: float | None = None
    processed: int | None = None
    #: runs that it rests on
    runs: int = 0


NOTHING = Expectation()


def expect(runs: Iterable[Run], type: JobType) -> Expectation:
    """``runs`` newest first. Needs three; a median, so that one odd run changes nothing; nothing where all are odd."""
    alike = [run for run in runs if run.type is type and run.status in SUCCEEDED]
    lasted = list(islice((seconds for run in alike if (seconds := _seconds(run)) is not None), _AT_MOST))
    counted = list(islice((float(run.processed) for run in alike if run.processed and run.processed > 0), _AT_MOST))
    seconds, processed = (typical(values) if len(values) >= _AT_LEAST else None for values in (lasted, counted))
    if seconds is None and processed is None:
        return NOTHING
    rests_on = max(len(lasted) if seconds else 0, len(counted) if processed else 0)
    return Expectation(seconds, None if processed is None else round(processed), rests_on)


def _seconds(run: Run) -> float | None:
    """By the upstream's clock at both ends; None when it does not tell both or they make no sense."""
    if run.started_at is None or run.completed_at is None or run.completed_at <= run.started_at:
        return None
    return (run.completed_at - run.started_at).total_seconds()


def typical(values: Sequence[float]) -> float | None:
    """Their median, so that an odd one changes nothing; None of none, and where they have nothing in common."""
    if not values:
        return None
    middle = median(values)
    return middle if median(abs(value - middle) for value in values) <= _SPREAD * middle else None
