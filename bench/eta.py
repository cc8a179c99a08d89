"""How far an estimate of a job's end is off at half time: ``python bench/eta.py [--runs 200] [--seed 7]``.

Each simulated run belongs to a connector of its own with nine past runs, and passes through the functions that the
gateway uses, seen every 15 seconds as a poll sees it. What varies, normally distributed unless said otherwise:

- between connectors: the usual size, and the usual duration from 20 minutes to 3 hours (both log-uniform);
- between runs of one: the throughput by 30 %, the size by 10 %;
- within a run: the throughput of each minute by 30 %.

The error is the difference to the time that was really left, as a share of it; a run without an estimate counts as
wholly wrong. Prints medians and ninth deciles. The status is 1 when a median is not below its goal, else 0. The harder
variant, in which sizes vary by 30 %, has no goal.

A line of its own tells the same of batches of the example source, see ``eta_example.py``.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random
from statistics import median, quantiles

import eta_example

from connectory.engine.judging.expectation import expect
from connectory.engine.judging.movement import rate_per_second
from connectory.engine.judging.views import Run, Sample
from connectory.eta import Progress, estimate
from connectory.model import EtaBasis, JobStatus, JobType

_NOW = datetime(2026, 8, 20, 10, 0, tzinfo=UTC)
#: Seconds: the simulation's step, and what it holds.
_STEP, _POLL, _MINUTE = 5, 15, 60
_PAST = 9
#: Share by which throughput varies, between runs and between minutes of one.
_THROUGHPUT = 0.30
#: Of estimates by a known total.
_GOAL = 0.15


@dataclass(frozen=True)
class Variant:
    name: str
    basis: EtaBasis
    #: share by which sizes vary between runs
    size: float
    goal: float | None


VARIANTS = (
    Variant("PAST_RUNS", EtaBasis.PAST_RUNS, 0.10, 0.25),
    Variant("TOTAL_KNOWN", EtaBasis.TOTAL_KNOWN, 0.10, _GOAL),
    Variant("PAST_RUNS, sizes vary by 30 %", EtaBasis.PAST_RUNS, 0.30, None),
    Variant("TOTAL_KNOWN, sizes vary by 30 %", EtaBasis.TOTAL_KNOWN, 0.30, None),
)


@dataclass(frozen=True)
class Simulated:
    """One run: how much there was to do, and how much was done after each step."""

    size: int
    done: Sequence[float]

    @property
    def seconds(self) -> int:
        return len(self.done) * _STEP


def varied(chance: Random, usual: float, share: float) -> float:
    """Never less than a tenth of the usual."""
    return max(usual / 10, chance.gauss(usual, usual * share))


def simulate(chance: Random, size: float, throughput: float, drift: float) -> Simulated:
    documents, speed = round(varied(chance, size, drift)), varied(chance, throughput, _THROUGHPUT)
    done, total, rate = [], 0.0, 0.0
    while total < documents:
        if len(done) * _STEP % _MINUTE == 0:
            rate = varied(chance, speed, _THROUGHPUT)
        total += rate * _STEP
        done.append(min(total, documents))
    return Simulated(documents, done)


def as_past(run: Simulated, number: int) -> Run:
    started = _NOW - timedelta(days=number + 1)
    return Run(
        id=str(number),
        status=JobStatus.SUCCEEDED,
        type=JobType.FULL,
        started_at=started,
        completed_at=started + timedelta(seconds=run.seconds),
        processed=run.size,
    )


def error_at_half_time(chance: Random, variant: Variant) -> float:
    """Of one run of one connector; infinite where there was no estimate."""
    size = math.exp(chance.uniform(math.log(1_000), math.log(1_000_000)))
    throughput = size / math.exp(chance.uniform(math.log(1_200), math.log(10_800)))
    expected = expect(
        [as_past(simulate(chance, size, throughput, variant.size), n) for n in range(_PAST)], JobType.FULL
    )
    run = simulate(chance, size, throughput, variant.size)
    half = run.seconds // 2
    # the first poll sees it somewhere within its first 15 seconds
    polls = range(chance.randrange(_STEP, _POLL + 1, _STEP), half + 1, _POLL)
    samples = [Sample(_NOW + timedelta(seconds=second), int(run.done[second // _STEP - 1])) for second in polls]
    seen = samples[-1]
    progress = Progress(
        status=JobStatus.RUNNING,
        processed=seen.processed,
        total=run.size if variant.basis is EtaBasis.TOTAL_KNOWN else None,
        rate_per_second=rate_per_second(samples[-200:], seen.at),
        counted_at=seen.at,
        expected_seconds=expected.seconds,
        expected_processed=expected.processed,
        started_at=_NOW,
    )
    found = estimate(progress, _NOW + timedelta(seconds=half))
    left = run.seconds - half
    return math.inf if found.seconds is None or found.basis is not variant.basis else abs(found.seconds - left) / left


def measure(variant: Variant, runs: int, seed: int) -> bool:
    """Print one line; whether the goal is met."""
    chance = Random(f"{seed} {variant.name}")
    return tell(variant.name, [error_at_half_time(chance, variant) for _ in range(runs)], variant.goal)


def measure_example(runs: int, seed: int) -> bool:
    errors = [eta_example.error_at_half_time(*batch) for batch in islice(eta_example.batches(seed), runs)]
    return tell("TOTAL_KNOWN, example source", errors, _GOAL)


def tell(name: str, errors: Sequence[float], goal: float | None) -> bool:
    """Print one line; whether the goal is met."""
    middle, tenth = median(errors), quantiles(errors, n=10)[-1]
    without = sum(math.isinf(error) for error in errors)
    aim = "no goal" if goal is None else f"goal: below {goal:.0%}"
    print(  # noqa: T201
        f"{name}: median error {middle:.1%} ({aim}), nine in ten below {tenth:.0%}, "
        f"{without} of {len(errors)} without an estimate"
    )
    return goal is None or middle < goal


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    met = [measure(variant, given.runs, given.seed) for variant in VARIANTS]
    met.append(measure_example(given.runs, given.seed))
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
