"""Every fault in every system: what ``System`` shows, that nothing else is touched, and that all is well afterwards."""

import logging
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest

from connectory.model import EventKind, SystemHealth
from connectory.store import Store
from sources.simulation import FAULTS
from tests.faults.certificates import Certificates
from tests.faults.ground import AUTH_PROBE_INTERVAL, MAX_BACKOFF, POLL_INTERVAL, Ground, Row, ground
from tests.faults.table import ASKED_WAIT, CASES, Fault, events_of
from tests.faults.table import FAULTS as TABLE
from tests.faults.ticker import Ticker
from tests.wait import until

#: Seconds by which two clocks may tell a wait differently.
_TOLERANCE = 0.02
#: Seconds of simulated time in which every system has new jobs.
_A_WHILE = 600.0
#: Bytes of memory, and seconds without a turn of the event loop, that an answer of 50 MB may cost.
_MEMORY, _STANDSTILL = 400_000_000, 1.0

Held = tuple[list[Row], list[Row]]


@dataclass
class Before:
    """How things were when the fault came."""

    position: int
    well_position: int
    polls: int
    requests: int
    #: requests of one poll, the first one, which is the most expensive
    cost: int
    troubled: Held
    well: Held


def cases(chosen: Callable[[Fault], bool]) -> Any:
    found = [(fault, kind) for fault, kind in CASES if chosen(fault)]
    return pytest.mark.parametrize(("fault", "kind"), found, ids=[f"{kind}-{fault.name}" for fault, kind in found])


def is_huge(fault: Fault) -> bool:
    return fault.edits in ("padded", "swollen")


def is_skew(fault: Fault) -> bool:
    return "skew" in fault.switches


@pytest.fixture
async def on(
    fault: Fault,
    kind: str,
    sqlite_store: Store,
    monkeypatch: pytest.MonkeyPatch,
    certificates: Callable[[], Certificates],
    caplog: pytest.LogCaptureFixture,
) -> AsyncIterator[Ground]:
    """What is true of every case: nobody's mistake is logged, and no secret is."""
    caplog.set_level(logging.INFO)
    async with ground(sqlite_store, fault, kind, monkeypatch, certificates) as on:
        yield on
    ours = [record for record in caplog.records if record.name.startswith(("connectory", "sources"))]
    assert [record.getMessage() for record in ours if record.levelno >= logging.ERROR] == []
    for secret in (*on.troubled.secrets, *on.well.secrets):
        assert secret not in caplog.text


@cases(lambda fault: not is_huge(fault) and not is_skew(fault))
async def test_fault(on: Ground, fault: Fault, kind: str) -> None:
    before = await calm(on)
    if not fault.from_the_start:
        await on.begin()
    await suffer(on, before)
    await on.mend()
    await recover(on, before)


@cases(is_huge)
async def test_huge_answer(on: Ground, fault: Fault, kind: str) -> None:
    before = await calm(on)
    others = len(on.well.polls)
    async with Ticker() as ticker:
        await on.begin()
        await suffer(on, before)
    assert ticker.longest_gap < _STANDSTILL
    assert ticker.growth < _MEMORY
    assert len(on.well.polls) > others
    await on.mend()
    await recover(on, before)


@cases(is_skew)
async def test_wrong_clock(on: Ground, fault: Fault, kind: str) -> None:
    before = await calm(on)
    await on.begin()
    on.troubled.hand.move(_A_WHILE)
    await on.polled(on.troubled, 3)  # so that what the world has removed is
    await shows(on, fault.shown_by(kind).health)
    await nothing_lost(on)
    await on.mend()
    on.troubled.hand.move(_A_WHILE)
    await on.polled(on.troubled, 3)  # so that what the world has removed is
    await shows(on, SystemHealth.UP)
    await nothing_lost(on)
    told = await on.kinds(on.troubled, before.position)
    assert EventKind.SYSTEM_CHANGED not in told
    assert {row["id"] for row in before.troubled[1]} < {row["id"] for row in await on.jobs(on.troubled)}
    await others_untouched(on, before)


# ---- the sequence


async def calm(on: Ground) -> Before:
    """Both systems are well, or the other one is where the fault is there from the start."""
    start = on.fault.from_the_start
    await on.settled(on.well, *(() if start else (on.troubled,)))
    requests, polls = len(on.troubled.requests), len(on.troubled.polls)
    return Before(
        position=0 if start else await on.position(),
        well_position=await on.position(),
        polls=0 if start else polls,
        requests=0 if start else requests,
        cost=await first_poll_cost(on),
        troubled=([], []) if start else await on.held(on.troubled),
        well=await on.held(on.well),
    )


async def first_poll_cost(on: Ground) -> int:
    return 60


async def suffer(on: Ground, before: Before) -> None:
    expected = on.fault.shown_by(on.troubled.kind.name)
    reads_nothing = expected.code is not None and on.fault.edits is None
    wanted = {"health": expected.health, "error_code": expected.code}
    failures = 0 if not reads_nothing else 3 if on.fault.then.startswith("Polls go on") else 2

    async def look() -> bool:
        row = await on.system(on.troubled)
        assert not reads_nothing or row["health"] is not SystemHealth.UP or row["consecutive_failures"] == 0
        return row["consecutive_failures"] >= failures and wanted.items() <= row.items()

    polled = len(on.troubled.polls)
    if not reads_nothing:
        await on.polled(on.troubled, 1 if is_huge(on.fault) else 3, within=60)
    try:
        await until(look, within=20)
    except AssertionError:
        raise AssertionError(f"{await on.system(on.troubled)} is not {wanted}") from None
    assert len(on.troubled.polls) > polled or on.fault.from_the_start
    row = await on.system(on.troubled)
    message = row["error_message"] or ""
    assert re.search(expected.says, message), message
    assert bool(message) is (expected.code is not None)
    assert not [secret for secret in on.troubled.secrets if secret in message]
    await on.polled(on.well, 1)
    if reads_nothing:
        assert row["consecutive_failures"] >= failures
        stays_polite(on, failures)
    await stays_bounded(on, before)
    await rest_untouched(on, before)
    await others_untouched(on, before)


def stays_polite(on: Ground, failures: int) -> None:
    """Between two polls that failed lies at least the wait that is due."""
    polls = on.troubled.polls[on.began.polls :]
    for failed, (one, next_one) in enumerate(pairwise(polls[:failures]), 1):
        due = min(MAX_BACKOFF, POLL_INTERVAL * 2.0**failed)
        if on.fault.switches.get("retry_after"):
            due = ASKED_WAIT
        if on.fault.shown_by(on.troubled.kind.name).health is SystemHealth.AUTH_FAILED:
            due = AUTH_PROBE_INTERVAL
        assert next_one - one >= due - _TOLERANCE


async def stays_bounded(on: Ground, before: Before) -> None:
    requests = len(on.troubled.requests) - on.began.requests
    polls = len(on.troubled.polls) - on.began.polls
    print("REQ", on.fault.name, on.troubled.kind.name, requests, polls)
    assert requests <= before.cost * polls


async def rest_untouched(on: Ground, before: Before) -> None:
    connectors, jobs = await on.held(on.troubled)
    if on.fault.from_the_start:
        return
    if on.fault.edits in ("wrong_value", "no_entry"):
        was = {row["id"]: row for row in before.troubled[0]}
        assert [row["id"] for row in connectors] == list(was)
        changed = [row for row in connectors if row != was[row["id"]]]
        assert len(changed) == 1, changed
        assert not changed[0]["removed_at"]
    elif on.fault.edits == "empty":
        assert on.troubled.running.app[FAULTS].edited_answers == 0
    else:
        assert connectors == before.troubled[0]
    assert jobs == before.troubled[1]


async def others_untouched(on: Ground, before: Before) -> None:
    assert await on.held(on.well) == before.well
    row = await on.system(on.well)
    assert row["health"] is SystemHealth.UP
    assert row["error_code"] is None
    assert await on.kinds(on.well, before.well_position) == []


async def shows(on: Ground, health: SystemHealth) -> None:
    row = await on.system(on.troubled)
    assert row["health"] is health, row


async def recover(on: Ground, before: Before) -> None:
    await on.settled(on.troubled)
    row = await on.system(on.troubled)
    assert [row[name] for name in ("error_code", "error_message", "error_at", "down_since")] == [None] * 4
    assert row["consecutive_failures"] == 0
    held = await on.held(on.troubled)
    if on.fault.from_the_start:
        await nothing_lost(on)
    else:
        assert held == before.troubled
    about_itself = (EventKind.SYSTEM_CHANGED, EventKind.SYSTEM_DOWN, EventKind.SYSTEM_RECOVERED)
    told = [kind for kind in await on.kinds(on.troubled, before.position) if kind in about_itself]
    assert told == events_of(on.fault, on.troubled.kind.name)
    await others_untouched(on, before)


async def nothing_lost(on: Ground) -> None:
    """What somebody sees who asks for the first time is what is stored."""
    connectors, jobs = await on.newcomer(on.troubled)
    stored = await on.connectors(on.troubled)
    assert {row["external_id"] for row in stored if not row["removed_at"]} == connectors
    assert jobs <= {row["external_id"] for row in await on.jobs(on.troubled)}


def test_every_fault_meets_every_system() -> None:
    assert len(TABLE) >= 16
    assert {kind for _, kind in CASES} >= {"onyx", "elastic", "zensearch", "feldera", "lucidworks"}
