"""What healthy systems do all day: nothing of it is a reason for concern."""

from dataclasses import replace

from golden_cast import Cast
from golden_players import ElasticPlayer, OnyxPlayer, Player
from golden_stage import KINDS, Script, Stage
from golden_troubles import HOUR, MINUTE, until

from sources.feldera.simulator.deployment import Pipeline
from sources.feldera.simulator.endpoints import Endpoint
from sources.simulation import FAULTS


async def hiccups(stage: Stage, player: Player) -> Script:
    """Pauses within runs, short waits before them, workers that are away for a moment: nothing beyond the limits."""
    chance = stage.chance
    while True:
        yield chance.uniform(20 * MINUTE, 60 * MINUTE)
        fault = chance.choice(["stuck", "stuck", "busy", "away" if isinstance(player, ElasticPlayer) else "stuck"])
        player.set_fault(fault)
        yield chance.uniform(60, 700) if fault == "stuck" else chance.uniform(20, 55)
        player.set_fault(None)


async def stumbles(stage: Stage, player: OnyxPlayer) -> Script:
    """A run fails now and then, never two in a row."""
    healthy = player.pair.profile
    while True:
        yield stage.chance.uniform(2 * HOUR, 4 * HOUR)
        player.pair.profile = replace(healthy, ends={"failed": 1})
        async for pause in until(lambda: (latest := player.pair.latest()) is not None and latest.outcome == "failed"):
            yield pause
        player.pair.profile = healthy
        async for pause in until(lambda: player.succeeded):
            yield pause


async def dozes(stage: Stage, player: OnyxPlayer) -> Script:
    """Paused by somebody for hours."""
    while True:
        yield stage.chance.uniform(2 * HOUR, 4 * HOUR)
        player.world.pause(player.pair)
        yield stage.chance.uniform(1 * HOUR, 4 * HOUR)
        player.world.resume(player.pair)


async def holds(stage: Stage, cast: Cast, pipeline: Pipeline, *, stops: bool) -> Script:
    """A pipeline that is paused, or stopped and started, a few times a day."""
    while True:
        yield stage.chance.uniform(1 * HOUR, 2 * HOUR)
        cast.feldera.stop(pipeline) if stops else cast.feldera.hold(pipeline, "Paused")
        yield stage.chance.uniform(10 * MINUTE, 90 * MINUTE)
        cast.feldera.start_pipeline(pipeline) if stops else cast.feldera.hold(pipeline, "Running")


async def flickers(stage: Stage, endpoint: Endpoint) -> Script:
    """It holds back a checkpoint, or takes nothing, for some minutes."""
    while True:
        yield stage.chance.uniform(5 * MINUTE, 40 * MINUTE)
        fault = stage.chance.choice(["barred", "stuck"])
        endpoint.fault = fault
        yield stage.chance.uniform(5, 420 if fault == "barred" else 700)
        endpoint.fault = None


async def restarts(stage: Stage) -> Script:
    """The gateway itself is restarted."""
    while True:
        yield stage.chance.uniform(40 * MINUTE, 240 * MINUTE)
        await stage.stop()
        yield stage.chance.uniform(1, 30)
        await stage.start()


async def blips(stage: Stage, kind: str) -> Script:
    """Now and then a poll has no answer."""
    while True:
        yield stage.chance.uniform(60 * MINUTE, 180 * MINUTE)
        stage.silent.add(kind)
        stage.running[kind].app[FAULTS].html_status = 502
        yield 50
        stage.running[kind].app[FAULTS].html_status = None
        stage.silent.discard(kind)


async def jitter(stage: Stage) -> Script:
    """No clock is right."""
    while True:
        for kind in KINDS:
            stage.skew(kind, stage.chance.uniform(-15, 15))
        yield 10 * MINUTE
