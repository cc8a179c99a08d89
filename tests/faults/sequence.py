"""What every fault goes through: calm, the fault, and the end of it."""

import logging
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import pytest

from connectory.model import EventKind, SystemErrorCode, SystemHealth
from sources.simulation import FAULTS
from tests.faults.fixtures import Grounds
from tests.faults.ground import AUTH_PROBE_INTERVAL, MAX_BACKOFF, POLL_INTERVAL, Ground, Row
from tests.faults.table import ASKED_WAIT, OPEN, SHAPES, Fault, events_of
from tests.faults.ticker import Ticker
from tests.wait import until

#: Seconds. The waits are told and kept by one clock, which a busy machine makes longer only; moments have microseconds.
_ROUNDING = 0.00001
#: Requests more than usual that a poll may cost which finds something changed.
_MORE = 3

Held = tuple[list[Row], list[Row]]


@dataclass
class Before:
    """How things were when the fault came."""

    position: int
    well_position: int
    #: requests of one poll
    usual: int
    troubled: Held
    well: Held


def in_each_system(faults: Sequence[Fault]) -> pytest.MarkDecorator:
    """``turns`` and ``kind``: all of these faults that a kind can have, those that can share a ground together."""
    return pytest.mark.parametrize(("turns", "kind"), [*_turns(faults)])


def _turns(faults: Sequence[Fault]) -> Iterator[Any]:
    for kind, site in product(SHAPES, dict.fromkeys(fault.site for fault in faults)):
        here = [fault for fault in faults if fault.site == site and fault.applies_to(kind)]
        together = [fault for fault in here if (fault.name, kind) not in OPEN]
        # a ground has one beginning: the first turn is of the fault that is there from the start
        together.sort(key=lambda fault: not fault.from_the_start)
        assert sum(fault.from_the_start for fault in together) <= 1
        if together:
            yield pytest.param(together, kind, id=f"{kind}-{site.name}")
        for fault in here:
            if fault not in together:
                mark = pytest.mark.xfail(reason=OPEN[fault.name, kind], raises=AssertionError, strict=True)
                yield pytest.param([fault], kind, id=f"{kind}-{fault.name}", marks=mark)


async def take_turns(
    grounds: Grounds,
    turns: Sequence[Fault],
    kind: str,
    caplog: pytest.LogCaptureFixture,
    go: Callable[[Ground], Awaitable[None]],
) -> None:
    """Each fault goes its way on a ground that is calm: as the one before has left it, or, where that has failed, on
    another one. Fails with everything that failed, by kind and fault."""
    failed: list[Exception] = []
    on: Ground | None = None
    async with AsyncExitStack() as stack:
        for turn, fault in enumerate(turns, 1):
            caplog.clear()
            try:
                on = on or await stack.enter_async_context(grounds(fault, kind))
                on.fault = fault
                await go(on)
                if turn == len(turns):
                    await stack.aclose()  # the end of a ground is told of, too
                discreet(on, caplog)
            except Exception as error:
                error.add_note(f"{kind}: {fault.name}")
                failed.append(error)
                on = None
                await stack.aclose()
    if len(failed) > 1:
        raise ExceptionGroup(f"{len(failed)} of {len(turns)} faults in {kind}", failed)
    for error in failed:
        raise error


def discreet(on: Ground, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody's mistake was logged, and no secret was."""
    ours = [record for record in caplog.records if record.name.startswith(("connectory", "sources"))]
    assert [record.getMessage() for record in ours if record.levelno >= logging.ERROR] == []
    for secret in (*on.troubled.secrets, *on.well.secrets):
        assert secret not in caplog.text


async def go_through(on: Ground) -> None:
    """The whole sequence."""
    before = await calm(on)
    if not on.fault.from_the_start:
        await on.begin()
    await suffer(on, before)
    await on.mend()
    await recover(on, before)


async def outlast(on: Ground, *, gap: float, memory: int) -> None:
    """The whole sequence, while the rest of the program never stands still for ``gap`` seconds of processor time, and
    grows by less than ``memory`` bytes."""
    before = await calm(on)
    others = len(on.well.polls)
    async with Ticker() as ticker:
        await on.begin()
        await suffer(on, before)
    assert ticker.longest_gap < gap
    assert ticker.growth < memory
    assert len(on.well.polls) > others
    await on.mend()
    await recover(on, before)


async def calm(on: Ground) -> Before:
    """Both systems are well, or the other one is where the fault is there from the start."""
    start = on.fault.from_the_start
    if not on.is_calm:
        await on.settled(on.well, *(() if start else (on.troubled,)))
    marks = on.troubled.marks
    return Before(
        position=0 if start else await on.position(),
        well_position=await on.position(),
        usual=0 if start else marks[-1] - marks[-2],
        troubled=([], []) if start else await on.held(on.troubled),
        well=await on.held(on.well),
    )


async def suffer(on: Ground, before: Before) -> None:
    expected = on.fault.shown_by(on.troubled.kind.name)
    reads_nothing = expected.code is not None and on.fault.edits is None
    wanted = {"health": expected.health, "error_code": expected.code}
    failures = 0 if not reads_nothing else failures_awaited(on.fault)

    async def look() -> bool:
        row = await on.system(on.troubled)
        assert not reads_nothing or row["health"] is not SystemHealth.UP or row["consecutive_failures"] == 0
        return row["consecutive_failures"] >= failures and wanted.items() <= row.items()

    polled = len(on.troubled.polls)
    if not reads_nothing:
        await on.troubled.polled(1 if on.fault.group == "size" else 3, within=60)
        assert on.troubled.running.app[FAULTS].edited_answers in (None, 0)
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
    if on.fault.edits in ("wrong_value", "no_entry"):
        assert "more)" not in message, "one entry is wrong"
    if on.fault.edits == "wrong_value":
        assert SHAPES[on.troubled.kind.name].names_it in message
    await others_untouched(on, before)
    await on.troubled.allow(0)
    if reads_nothing:
        assert row["consecutive_failures"] >= failures
        stays_polite(on, failures)
    if not on.fault.from_the_start:
        stays_bounded(on, before.usual + _MORE)
    await rest_untouched(on, before)


def failures_awaited(fault: Fault) -> int:
    """Enough to see the waits grow, where they do and failing is quick."""
    return 3 if fault.backs_off and fault.shows.code is not SystemErrorCode.TIMEOUT else 2


def stays_polite(on: Ground, failures: int) -> None:
    """Between two polls that failed lies at least the wait that is due."""
    polls = on.troubled.polls[on.began.polls :]
    for failed, (one, next_one) in enumerate(pairwise(polls[:failures]), 1):
        due = min(MAX_BACKOFF, POLL_INTERVAL * 2.0**failed)
        if on.fault.switches.get("retry_after"):
            due = ASKED_WAIT
        if on.fault.shown_by(on.troubled.kind.name).health is SystemHealth.AUTH_FAILED:
            due = AUTH_PROBE_INTERVAL
        assert next_one - one >= due - _ROUNDING


def stays_bounded(on: Ground, one_poll: int) -> None:
    """No poll asks for much more than it does when all is well."""
    requests = len(on.troubled.requests) - on.began.requests
    polls = len(on.troubled.polls) - on.began.polls
    assert requests <= one_poll * polls


async def rest_untouched(on: Ground, before: Before) -> None:
    """What is stored of the troubled system stays; of one entry that cannot be read, what could not be read may go."""
    if on.fault.from_the_start:
        return
    connectors, jobs = await on.held(on.troubled)
    if on.fault.edits == "empty":
        assert not [row for row in connectors if row["removed_at"]]
        return
    changed = differing(before.troubled[0], connectors)
    of = {row["connector_id"] for row in differing(before.troubled[1], jobs)}
    assert not [row for row in changed if row["removed_at"]]
    allowed = 1 if on.fault.edits in ("wrong_value", "no_entry") else 0
    assert len({row["id"] for row in changed} | of) == allowed


def _facts(jobs: list[Row]) -> list[Row]:
    """A job that was told wrongly for a while has been seen, and seen to move, anew."""
    of_the_moment = ("observed_at", "counted_at", "moved_at")
    return [{name: value for name, value in row.items() if name not in of_the_moment} for row in jobs]


def differing(before: list[Row], after: list[Row]) -> list[Row]:
    was = {row["id"]: row for row in before}
    assert was.keys() == {row["id"] for row in after}
    return [row for row in after if row != was[row["id"]]]


async def others_untouched(on: Ground, before: Before) -> None:
    """The system that is well is polled meanwhile, and nothing has changed of it."""
    await on.well.allow(1)
    await on.well.polled(1)
    assert await on.held(on.well) == before.well
    row = await on.system(on.well)
    assert row["health"] is SystemHealth.UP
    assert row["error_code"] is None
    assert await on.kinds(on.well, before.well_position) == []


async def shows(on: Ground, health: SystemHealth) -> None:
    row = await on.system(on.troubled)
    assert row["health"] is health, row


async def recover(on: Ground, before: Before) -> None:
    asked, polls = len(on.troubled.requests), len(on.troubled.polls)
    await on.settled(on.troubled)
    row = await on.system(on.troubled)
    assert [row[name] for name in ("error_code", "error_message", "error_at", "down_since")] == [None] * 4
    assert row["consecutive_failures"] == 0
    if on.fault.from_the_start:
        made = len(on.troubled.requests)
        await nothing_lost(on)
        assert asked <= 3 * (len(on.troubled.requests) - made) * polls
    else:
        connectors, jobs = await on.held(on.troubled)
        assert differing(before.troubled[0], connectors) == []
        assert differing(_facts(before.troubled[1]), _facts(jobs)) == []
    about_itself = (EventKind.SYSTEM_CHANGED, EventKind.SYSTEM_DOWN, EventKind.SYSTEM_RECOVERED)
    told = [kind for kind in await on.kinds(on.troubled, before.position) if kind in about_itself]
    assert told == events_of(on.fault, on.troubled.kind.name)
    await others_untouched(on, before)
    on.is_calm = True


async def nothing_lost(on: Ground) -> None:
    """What somebody sees who asks for the first time is what is stored."""
    connectors, jobs = await on.newcomer(on.troubled)
    stored = await on.connectors(on.troubled)
    assert {row["external_id"] for row in stored if not row["removed_at"]} == connectors
    assert jobs <= {row["external_id"] for row in await on.jobs(on.troubled)}
