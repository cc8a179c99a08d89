"""Who is on stage in the golden world, what happens to them, and when."""

from collections.abc import Callable, Iterator, Mapping

from golden_cast import Cast
from golden_health import blips, dozes, flickers, hiccups, holds, jitter, restarts, stumbles
from golden_players import OnyxPlayer, Player
from golden_stage import KINDS, Script, Stage
from golden_streams import STREAM_TROUBLES, outages, stream
from golden_troubles import (
    CYCLE,
    EVERY,
    HOUR,
    LIMITS,
    MINUTE,
    Part,
    Trouble,
    failing,
    faulty,
    late,
    live,
    off_schedule,
    queued,
    queued_behind,
    standing_still,
    without_worker,
)

from sources.elastic.simulator.population import Part as Scheduled
from sources.feldera.simulator.deployment import Pipeline
from sources.feldera.simulator.endpoints import Endpoint, Profile


def direct(stage: Stage, *, hurry: bool = False) -> str:
    """Put everybody on stage; returns who they are. ``hurry``: troubles come early, for a run of a few hours."""
    cast = Cast(stage)
    players, pipelines = cast.crowd()
    for player in players[:-1]:
        stage.play(hiccups(stage, player))
    _healthy(stage, cast, players, pipelines)
    well = len(players) + sum(len(pipeline.endpoints) for pipeline in pipelines) + len(cast.zensearch.connectors)
    scripts = [*_lives(stage, cast, hurry=hurry), *_latecomers(stage, cast, hurry=hurry), *_streams(stage, cast, hurry)]
    for number, script in enumerate(scripts):
        stage.play(script, after=30.0 + 37 * number)
    stage.play(outages(stage, "zensearch", 20 * MINUTE, (25 if hurry else 150) * MINUTE))
    return f"{well} connectors that are well, {len(scripts)} that get into trouble"


def _healthy(stage: Stage, cast: Cast, players: list[Player], pipelines: list[Pipeline]) -> None:
    pairs = [player for player in players if isinstance(player, OnyxPlayer)]
    for pair in pairs[:2] + pairs[3:5]:
        stage.play(stumbles(stage, pair))
    stage.play(dozes(stage, pairs[-1]))
    for pipeline in pipelines:
        if pipeline.name == "orders":
            for endpoint in pipeline.inputs:
                stage.play(flickers(stage, endpoint))
        if pipeline.name in ("clicks", "nightly"):
            stage.play(holds(stage, cast, pipeline, stops=pipeline.name == "nightly"))
    for kind in KINDS:
        if kind != "zensearch":
            stage.play(blips(stage, kind))
    stage.play(restarts(stage))
    stage.play(jitter(stage))


_STILL = standing_still("stuck", "NO_PROGRESS", LIMITS.no_progress, 40 * MINUTE)
_STILL_LONG = standing_still("stuck", "NO_PROGRESS", LIMITS.no_progress, 75 * MINUTE)
_GONE = standing_still("gone", "NO_PROGRESS", LIMITS.no_progress, 40 * MINUTE)
_SILENT = standing_still("away", "HEARTBEAT_LOST", LIMITS.heartbeat, 25 * MINUTE)
#: Who gets into which trouble, by kind.
_LIVES: Mapping[str, Mapping[str, Trouble]] = {
    "elastic": {
        "queued": queued, "queued behind": queued_behind, "without worker": without_worker, "silent": _SILENT,
        "still for long": _STILL_LONG, "failing": failing,
    },
    "onyx": {"queued": queued, "still": _STILL, "gone": _GONE, "failing": failing, "faulty": faulty},
    "lucidworks": {"queued": queued, "still for long": _STILL_LONG, "failing": failing, "faulty": faulty},
}  # fmt: skip
#: One in ten of past runs may have been odd; a trouble that takes the place of many runs comes more rarely.
_RARE = frozenset({"still for long"})


def _makers(cast: Cast) -> Mapping[str, Callable[[str], Player]]:
    return {"elastic": cast.elastic_player, "onyx": cast.onyx_player, "lucidworks": cast.lucidworks_player}


def _lives(stage: Stage, cast: Cast, *, hurry: bool) -> Iterator[Script]:
    for kind, lives in _LIVES.items():
        for name, trouble in lives.items():
            part = Part(stage, _makers(cast)[kind](name))
            yield live(part, {1 if hurry else 3: trouble}, cycle=3 * CYCLE if name in _RARE else CYCLE)


def _latecomers(stage: Stage, cast: Cast, *, hurry: bool) -> Iterator[Script]:
    for kind in ("onyx", "lucidworks"):
        for place in range(1 if hurry else 3):
            hours = 1.1 if hurry else 3.0 + 5 * place
            yield late(Part(stage, _makers(cast)[kind](f"late {place}")), hours, EVERY)
    role = Scheduled("off schedule", "mysql", 15, documents=20_000, lasts=240.0)
    for place in range(1 if hurry else 2):
        part = Part(stage, cast.elastic_player(f"off schedule {place}", role))
        yield off_schedule(part, (0.5 if hurry else 6 + place) * HOUR, 7 * HOUR, 15 * MINUTE)


def _streams(stage: Stage, cast: Cast, hurry: bool) -> Iterator[Script]:
    for place, trouble in enumerate(STREAM_TROUBLES):
        endpoint = Endpoint("rows", trouble, True, "kafka_input", profile=Profile((20, 60)))
        pipeline = cast.pipeline(f"trouble-{trouble}", endpoint)
        yield stream(stage, pipeline, trouble, (place + (20 if hurry else 180)) * MINUTE)
