"""What can happen, each by a function that tells whether it could now; and how often it is tried."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random
from typing import Any, TypeVar

from connectory.model import ConnectorStatus, JobStatus, Known
from connectory.store.tables.identity import JOB, global_id
from sources.base import SourceAuthFailed, SourceError, SourceRateLimited, SourceUnreachable
from tests.interleavings.ground import Gateway, Ground
from tests.interleavings.held import Call
from tests.interleavings.model import SYSTEM_NAME
from tests.interleavings.upstream import Connector, Job, Upstream, of_an_overloaded, without_lost_jobs

T = TypeVar("T")
Rule = Callable[[Ground, Random], Awaitable[bool]]

#: Connectors, and open jobs, of an upstream at most.
_CONNECTORS, _OPEN_JOBS = 4, 5
#: Answers that come at once when all is well.
_PROMPT = 4
_ENDS = (JobStatus.SUCCEEDED, JobStatus.SUCCEEDED_WITH_ERRORS, JobStatus.FAILED, JobStatus.CANCELED)
_STATUSES = (ConnectorStatus.ACTIVE, ConnectorStatus.ACTIVE, ConnectorStatus.PAUSED, ConnectorStatus.ERROR)


def _one(chance: Random, items: Sequence[T]) -> T | None:
    return chance.choice(items) if items else None


# ---- upstream


async def connector_appears(ground: Ground, chance: Random) -> bool:
    if len(ground.upstream.connectors) >= _CONNECTORS:
        return False
    ground.upstream.new_connector()
    return True


def _to_connector(is_there: bool, change: Callable[[Connector, Random], None]) -> Rule:
    async def rule(ground: Ground, chance: Random) -> bool:
        found = _one(chance, [each for each in ground.upstream.connectors.values() if each.is_there is is_there])
        if found is not None:
            change(found, chance)
        return found is not None

    return rule


def _turn(connector: Connector, _: Random) -> None:
    connector.is_there = not connector.is_there


def _retitle(connector: Connector, chance: Random) -> None:
    connector.title += 1
    connector.status = chance.choice(_STATUSES)


def _mark(connector: Connector, _: Random) -> None:
    connector.is_marked = not connector.is_marked


async def job_begins(ground: Ground, chance: Random) -> bool:
    connector = _one(chance, [each for each in ground.upstream.connectors.values() if each.is_there])
    if connector is None or sum(job.status.open for job in ground.upstream.jobs.values()) >= _OPEN_JOBS:
        return False
    ground.upstream.new_job(connector.id, chance.choice((JobStatus.PENDING, JobStatus.RUNNING)))
    return True


def _to_job(applies: Callable[[Job], bool], change: Callable[[Job, Random, Ground], None]) -> Rule:
    async def rule(ground: Ground, chance: Random) -> bool:
        found = _one(chance, [each for each in ground.upstream.jobs.values() if applies(each)])
        if found is not None:
            change(found, chance, ground)
        return found is not None

    return rule


def _is_open(job: Job) -> bool:
    return job.status.open and job.is_served


def _move(job: Job, chance: Random, _: Ground) -> None:
    if job.status is JobStatus.RUNNING and chance.random() < 0.8:
        job.processed += chance.randint(1, 9)
    else:
        job.status = chance.choice((JobStatus.RUNNING, JobStatus.SUSPENDED, JobStatus.CANCELING))


def _end(job: Job, chance: Random, ground: Ground) -> None:
    job.status, job.completed_at = chance.choice(_ENDS), ground.now


def _vanish(job: Job, _: Random, __: Ground) -> None:
    job.is_served = not job.is_served


def _run_again(job: Job, _: Random, __: Ground) -> None:
    job.status, job.completed_at = JobStatus.RUNNING, None


# ---- what the upstream says


def _calls(ground: Ground) -> list[Call]:
    """Of each kind a gateway has one at most."""
    return [call for each in ground.gateways for call in sorted(each.source.calls, key=lambda call: call.kind)]


async def answer_arrives(ground: Ground, chance: Random) -> bool:
    """What it said when it was asked, long ago perhaps, or what it says now."""
    call = _one(chance, _calls(ground))
    if call is None:
        return False
    upstream = chance.choice((call.upstream, ground.upstream))
    ground.deliver(call, call.answered(upstream, _content(upstream, call, chance)))
    return True


def _content(upstream: Upstream, call: Call, chance: Random) -> Any:
    match call.kind:
        case "look":
            return upstream.see(call.jobs)
        case "history":
            return upstream.past(call.connectors, call.before)
        case "findings":
            return upstream.find(call.jobs)
    manner = chance.choices((_complete, _in_part, _empty, _silent_on_lost_jobs), (6, 2, 1, 2))[0]
    return manner(upstream, call.known, chance)


def _complete(upstream: Upstream, known: Known, _: Random) -> Any:
    return upstream.list(known, frozenset())


def _in_part(upstream: Upstream, known: Known, chance: Random) -> Any:
    left_out = {id for id in upstream.connectors if chance.random() < 0.5}
    return of_an_overloaded(upstream.list(known, left_out))


def _empty(upstream: Upstream, known: Known, chance: Random) -> Any:
    without = upstream.copy()
    for connector in without.connectors.values():
        connector.is_there = False
    return _silent_on_lost_jobs(without, known, chance)


def _silent_on_lost_jobs(upstream: Upstream, known: Known, _: Random) -> Any:
    return without_lost_jobs(upstream.list(known, frozenset()), upstream)


async def answer_is_an_error(ground: Ground, chance: Random) -> bool:
    call = _one(chance, _calls(ground))
    if call is None:
        return False
    errors: Sequence[SourceError] = (
        SourceUnreachable("it is away"),
        SourceRateLimited("slowly", retry_after=30.0),
        SourceAuthFailed("no"),
    )
    call.answer.set_result(chance.choice(errors))
    return True


async def all_is_well(ground: Ground, chance: Random) -> bool:
    """A poll is asked for, and whatever stands in its way is answered as things are."""
    await somebody_refreshes(ground, chance)
    for _ in range(_PROMPT):
        await ground.settle()
        if not ground.holder.is_asked or not ground.holder.source.calls:
            break
        call = ground.holder.source.calls[-1]
        upstream = ground.upstream
        content = _complete(upstream, call.known, chance) if call.kind == "poll" else _content(upstream, call, chance)
        ground.deliver(call, call.answered(upstream, content))
    return True


async def connector_is_long_gone(ground: Ground, chance: Random) -> bool:
    """So long that retention takes it, unless it comes back."""
    if not await RULES["connector_goes"][1](ground, chance):
        return False
    for _ in range(3):
        await all_is_well(ground, chance)
        await ground.settle()
        ground.seconds += 1
    ground.seconds += 2000
    return True


async def connector_returns_in_time(ground: Ground, chance: Random) -> bool:
    """Retention has found it, and has not taken it yet."""
    if not ground.is_swept or not await RULES["connector_returns"][1](ground, chance):
        return False
    return await all_is_well(ground, chance)


# ---- gateways


async def somebody_refreshes(ground: Ground, _: Random) -> bool:
    if ground.holder.is_asked or any(call.kind == "poll" for call in ground.holder.source.calls):
        return False
    ground.holder.refresh()
    return True


async def somebody_watches(ground: Ground, chance: Random) -> bool:
    job = _one(chance, [*ground.upstream.jobs])
    if job is None or ground.holder.engine is None:
        return False
    ground.holder.engine.watch([global_id(JOB, SYSTEM_NAME, job)])
    return True


async def lease_is_lost(ground: Ground, _: Random) -> bool:
    await ground.pass_lease()
    return True


async def gateway_restarts(ground: Ground, chance: Random) -> bool:
    gateway = chance.choice(ground.gateways)
    await gateway.stop()
    await gateway.start()
    return True


async def time_passes(ground: Ground, chance: Random) -> bool:
    ground.seconds += chance.choice((5, 60, 400, 2000))
    return True


# ---- the store


def _gateway(ground: Ground, chance: Random) -> Gateway:
    return chance.choice(ground.gateways)


async def commit_fails(ground: Ground, chance: Random) -> bool:
    _gateway(ground, chance).store.fails = chance.choice(("before", "after"))
    return True


async def commits_have_to_wait(ground: Ground, chance: Random) -> bool:
    store = _gateway(ground, chance).store
    store.is_shut = not store.is_shut
    return True


async def commit_goes_on(ground: Ground, chance: Random) -> bool:
    gateway = _one(chance, [each for each in ground.gateways if each.store.waiting])
    if gateway is not None:
        gateway.store.let_go()
    return gateway is not None


async def retention_ends(ground: Ground, _: Random) -> bool:
    await ground.sweep()
    while ground.is_swept:
        await ground.sweep()
        await ground.settle()
    return True


async def retention_goes_on(ground: Ground, _: Random) -> bool:
    await ground.sweep()
    return True


#: Name → (how often, what).
RULES: Mapping[str, tuple[int, Rule]] = {
    "connector_appears": (4, connector_appears),
    "connector_changes": (3, _to_connector(True, _retitle)),
    "connector_goes": (3, _to_connector(True, _turn)),
    "connector_returns": (6, _to_connector(False, _turn)),
    "connector_is_long_gone": (6, connector_is_long_gone),
    "connector_returns_in_time": (12, connector_returns_in_time),
    "connector_is_marked": (1, _to_connector(True, _mark)),
    "job_begins": (8, job_begins),
    "job_moves": (8, _to_job(_is_open, _move)),
    "job_ends": (10, _to_job(_is_open, _end)),
    "job_vanishes": (1, _to_job(lambda job: job.is_served, _vanish)),
    "job_is_served_again": (2, _to_job(lambda job: not job.is_served, _vanish)),
    "job_runs_again": (1, _to_job(lambda job: job.status.ended and job.is_served, _run_again)),
    "answer_arrives": (50, answer_arrives),
    "all_is_well": (15, all_is_well),
    "answer_is_an_error": (3, answer_is_an_error),
    "somebody_refreshes": (10, somebody_refreshes),
    "somebody_watches": (1, somebody_watches),
    "time_passes": (8, time_passes),
    "lease_is_lost": (3, lease_is_lost),
    "gateway_restarts": (1, gateway_restarts),
    "commit_fails": (1, commit_fails),
    "commits_have_to_wait": (1, commits_have_to_wait),
    "commit_goes_on": (8, commit_goes_on),
    "retention_goes_on": (12, retention_goes_on),
    "retention_ends": (2, retention_ends),
}
