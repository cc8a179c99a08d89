"""Troubles of streams, and of systems as a whole, each told to the book."""

from dataclasses import replace
from datetime import timedelta

from golden_stage import Script, Stage
from golden_troubles import LIMITS, MINUTE

from sources.feldera.simulator.deployment import Pipeline
from sources.feldera.simulator.endpoints import Endpoint
from sources.simulation import FAULTS

#: Trouble → the condition, seconds until it holds, and seconds for which it goes on holding.
STREAM_TROUBLES = {
    "parse": ("PARSE_ERRORS", 0.0, LIMITS.error_window),
    "transport": ("TRANSPORT_ERRORS", 0.0, LIMITS.error_window),
    "barred": ("BLOCKS_CHECKPOINT", LIMITS.checkpoint, 0.0),
    # records go on coming in, and none is taken
    "stuck": ("NO_PROGRESS", LIMITS.no_progress, 0.0),
    # something waits, and nothing more comes
    "drained": ("NO_PROGRESS", LIMITS.no_progress, 0.0),
}


async def stream(stage: Stage, pipeline: Pipeline, trouble: str, rest: float) -> Script:
    """A trouble of twenty-five minutes, over and over."""
    (endpoint,) = pipeline.endpoints
    healthy = endpoint.profile
    code, after, tail = STREAM_TROUBLES[trouble]
    yield rest / 2
    while True:
        moment = stage.holds("feldera", f"{pipeline.name}/{endpoint.name}", code, stage.now, after)
        _spoil(endpoint, trouble)
        yield 5.0
        if trouble == "drained":
            endpoint.profile = replace(healthy, rate=(0, 0))
        yield 25 * MINUTE
        endpoint.profile, endpoint.fault = healthy, None
        moment.ends = stage.now + timedelta(seconds=tail)
        yield rest


def _spoil(endpoint: Endpoint, trouble: str) -> None:
    match trouble:
        case "parse":
            endpoint.profile = replace(endpoint.profile, parse_errors=1.0)
        case "transport":
            endpoint.profile = replace(endpoint.profile, transport_errors=1.0)
        case _:
            endpoint.fault = "barred" if trouble == "barred" else "stuck"


async def outages(stage: Stage, kind: str, first: float, every: float) -> Script:
    """By turns it is not there, has nothing to say but pages of HTML, and refuses our credentials."""
    running = stage.running[kind]
    faults = running.app[FAULTS]
    yield first
    while True:
        for trouble in ("stopped", "html", "refused"):
            stage.silent.add(kind)
            stale = stage.holds(kind, "*", "STALE", stage.book.polls[kind][-1], 180.0)
            down = stage.holds(kind, "*", "SYSTEM_DOWN", stage.now)
            if trouble == "stopped":
                await running.stop()
            faults.html_status = 503 if trouble == "html" else None
            faults.reject_credentials = trouble == "refused"
            yield 20 * MINUTE
            if trouble == "stopped":
                await running.start()
            faults.html_status, faults.reject_credentials = None, False
            stage.silent.discard(kind)
            stage.over(stale, down)
            yield every
