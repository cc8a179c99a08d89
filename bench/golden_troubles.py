"""Lives with troubles in them: runs that the script begins, and what becomes of them, each told to the book."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

from golden_players import BAD, FAULTY, GOOD, ElasticPlayer, LucidworksPlayer, OnyxPlayer, Player
from golden_score import Moment
from golden_stage import Script, Stage

from connectory.engine.judging.thresholds import Thresholds

MINUTE, HOUR = 60.0, 3600.0
#: The documented defaults.
LIMITS = Thresholds()
#: Seconds from one start of a player to the next, and runs from one trouble to the next.
EVERY, CYCLE = 20 * MINUTE, 12
_LOOK = 5.0


@dataclass
class Part:
    """A player on the stage."""

    stage: Stage
    player: Player

    def holds(self, condition: str, after: float = 0.0, since: datetime | None = None) -> Moment:
        return self.stage.holds(self.player.kind, self.player.id, condition, since or self.stage.now, after)


Trouble = Callable[[Part], Script]


async def until(reached: Callable[[], bool]) -> AsyncIterator[float]:
    while not reached():
        yield _LOOK


async def begun(part: Part) -> AsyncIterator[float]:
    """Start a run, and wait until its system tells of it."""
    part.player.start()
    async for pause in until(lambda: part.player.state != "resting"):
        yield pause


async def in_state(part: Part, state: str) -> AsyncIterator[float]:
    async for pause in until(lambda: part.player.state == state):
        yield pause


async def run(part: Part) -> Script:
    """From the start to the end."""
    async for pause in begun(part):
        yield pause
    async for pause in in_state(part, "resting"):
        yield pause


async def live(part: Part, troubles: Mapping[int, Trouble], every: float = EVERY, cycle: int = CYCLE) -> Script:
    """Run after run, so many seconds apart. ``troubles``: what the runs with these numbers of a cycle come to instead;
    one that takes longer takes the place of those that follow."""
    born, number = part.stage.now, 0
    while True:
        async for pause in troubles.get(number % cycle, run)(part):
            yield pause
        number = max(number + 1, -int(-part.stage.seconds(born) // every))
        yield (born + timedelta(seconds=number * every) - part.stage.now).total_seconds()


# ---- troubles of runs


async def queued(part: Part) -> Script:
    """Nobody picks it up for a quarter of an hour."""
    part.player.set_fault("busy")
    async for pause in begun(part):
        yield pause
    waits = part.holds("QUEUED", LIMITS.queued)
    yield 15 * MINUTE
    part.player.set_fault(None)
    async for pause in until(lambda: part.player.state != "waiting"):
        yield pause
    part.stage.over(waits)
    async for pause in in_state(part, "resting"):
        yield pause


async def queued_behind(part: Part) -> Script:
    """Somebody asks for another run while one is under way."""
    async for pause in begun(part):
        yield pause
    async for pause in in_state(part, "running"):
        yield pause
    yield MINUTE
    player = part.player
    assert isinstance(player, ElasticPlayer)
    first = player.world.open_jobs(player.id)[0]
    player.start()
    waits = part.holds("QUEUED_BEHIND", LIMITS.queued)
    async for pause in until(lambda: first["status"] == "completed"):
        yield pause
    part.stage.over(waits)
    async for pause in in_state(part, "resting"):
        yield pause


async def without_worker(part: Part) -> Script:
    """A job waits for a worker that has died."""
    player = part.player
    assert isinstance(player, ElasticPlayer)
    player.set_fault("away")
    player.start()
    waits, seen = part.holds("QUEUED", LIMITS.queued), player.worker_seen_at
    due = max(seen + timedelta(seconds=LIMITS.no_worker), part.stage.now + timedelta(seconds=LIMITS.queued))
    nobody = part.holds("NO_WORKER", since=due)
    waits.ends = due  # the one says more than the other
    yield 25 * MINUTE
    player.set_fault(None)
    async for pause in until(lambda: player.state != "waiting"):
        yield pause
    part.stage.over(nobody)
    async for pause in in_state(part, "resting"):
        yield pause


def standing_still(fault: str, condition: str, limit: float, lasts: float) -> Trouble:
    """A run stops for so long in its middle."""

    async def trouble(part: Part) -> Script:
        async for pause in begun(part):
            yield pause
        async for pause in in_state(part, "running"):
            yield pause
        yield 3 * MINUTE
        part.player.set_fault(fault)
        moments = [part.holds(condition, limit)]
        if condition == "NO_PROGRESS" and lasts > limit * LIMITS.critical_factor:
            moments.append(part.holds(f"{condition} CRITICAL", limit * LIMITS.critical_factor))
        for _ in range(int(lasts / _LOOK)):
            yield _LOOK
            if part.player.state == "resting":  # the system itself has given it up
                break
        part.player.set_fault(None)
        yield 10.0
        part.stage.over(*moments)
        async for pause in in_state(part, "resting"):
            yield pause

    return trouble


async def failing(part: Part) -> Script:
    """Six runs fail in a row, then one is good."""
    stage, player = part.stage, part.player
    born, moments = stage.now, list[Moment]()
    for number in range(1, 8):
        player.end_with(BAD if number < 7 else GOOD)
        async for pause in begun(part):
            yield pause
        async for pause in until(lambda: player.state != "waiting"):
            yield pause
        if isinstance(player, OnyxPlayer) and number < 7:
            player.fail_after(number)
        async for pause in in_state(part, "resting"):
            yield pause
        if number == 1 and isinstance(player, LucidworksPlayer):
            moments.append(part.holds("DOCUMENT_ERRORS"))  # what ended the crawl is counted as a document
        if number == LIMITS.failures:
            moments.append(part.holds("REPEATED_FAILURES"))
        if number == LIMITS.failures_critical:
            moments.append(part.holds("REPEATED_FAILURES CRITICAL"))
        if number < 7:
            yield (born + timedelta(seconds=number * EVERY) - stage.now).total_seconds()
    stage.over(*moments)


async def faulty(part: Part) -> Script:
    """Some documents of a run fail; those of the next one do not."""
    stage, player = part.stage, part.player
    born = stage.now
    player.end_with(FAULTY)
    async for pause in begun(part):
        yield pause
    async for pause in until(lambda: player.failed > 0):
        yield pause
    errors = part.holds("DOCUMENT_ERRORS")
    async for pause in in_state(part, "resting"):
        yield pause
    yield (born + timedelta(seconds=EVERY) - stage.now).total_seconds()
    player.end_with(GOOD)
    async for pause in run(part):
        yield pause
    stage.over(errors)


async def late(part: Part, hours: float, every: float) -> Script:
    """Runs as regular as a clock's; after so many hours none begins. The next time it is when that is forgotten."""
    stage, starts, ends = part.stage, list[datetime](), list[datetime]()
    begins = stage.now
    while True:
        async for pause in begun(part):
            yield pause
        starts.append(stage.now)
        async for pause in in_state(part, "resting"):
            yield pause
        ends.append(stage.now)
        if stage.seconds(begins) < hours * HOUR:
            yield every - stage.seconds(starts[-1])
            continue
        due = _due(starts[-20:], ends[-20:])
        overdue = part.holds("OVERDUE", since=due)
        yield (due - stage.now).total_seconds() + 20 * MINUTE
        part.player.start()
        async for pause in until(lambda: part.player.state != "resting"):
            yield pause
        stage.over(overdue)
        starts.append(stage.now)
        async for pause in in_state(part, "resting"):
            yield pause
        ends.append(stage.now)
        begins, hours = stage.now, max(hours, 9.0)
        yield every - stage.seconds(starts[-1])


def _due(starts: list[datetime], ends: list[datetime]) -> datetime:
    """As it is documented: twice the usual distance of starts and twice the usual rest, ten minutes late at least."""

    def allowed(gaps: list[float]) -> timedelta:
        usual = median(gaps)
        return timedelta(seconds=max(usual * LIMITS.overdue_factor, usual + LIMITS.overdue_least))

    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(starts)]
    rests = [(later - end).total_seconds() for end, later in zip(ends, starts[1:], strict=False)]
    return max(starts[-1] + allowed(gaps), ends[-1] + allowed(rests))


async def off_schedule(part: Part, first: float, then: float, schedule: float) -> Script:
    """Its own schedule starts it; now and then its worker is away when it should."""
    stage, player = part.stage, part.player
    yield first
    while True:
        async for pause in until(lambda: player.state != "resting"):
            yield pause
        async for pause in in_state(part, "resting"):
            yield pause
        player.set_fault("away")
        after = max(schedule * LIMITS.schedule_factor, schedule + LIMITS.overdue_least)
        overdue = part.holds("OVERDUE", after)
        yield after + 10 * MINUTE
        player.set_fault(None)
        async for pause in until(lambda: player.state != "resting"):
            yield pause
        stage.over(overdue)
        yield then
