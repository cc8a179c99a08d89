"""What may happen to a simulated system during a soak: faults by chance, for stretches of chance."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

#: Seconds that simulated clocks may be wrong.
_SKEWS = (-600.0, -90.0, 90.0, 600.0)


@dataclass(frozen=True)
class Trouble:
    """Fault switches for a while; ``stops``: its server is stopped, and started again on the same port."""

    name: str
    seconds: float
    switches: Mapping[str, Any] = field(default_factory=dict)
    stops: bool = False


_Switches = Callable[[Random], dict[str, Any]]

#: What can go wrong with every system. Answers come too late where delays are longer than the timeout.
_ANYWHERE: Mapping[str, _Switches] = {
    "silence": lambda chance: {"hang": True},
    "delay": lambda chance: {"delay": chance.choice([0.05, 0.3, 0.8, 1.5])},
    "429 with Retry-After": lambda chance: {"rate_limited": True, "retry_after": round(chance.uniform(0.5, 3.0), 1)},
    "429 without": lambda chance: {"rate_limited": True},
    "credentials refused": lambda chance: {"reject_credentials": True},
    "page of HTML": lambda chance: {"html_status": chance.choice([404, 500, 502, 503])},
    "truncated": lambda chance: {"truncate": True},
    "disconnected": lambda chance: {"disconnect": True},
    "byte by byte": lambda chance: {"drip": 0.01},
    "wrong clock": lambda chance: {"skew": chance.choice(_SKEWS)},
}


@dataclass(frozen=True)
class Shape:
    """What faults have to know of a kind's answers: the path of its list, the way to the entries, and parts of paths
    that other requests have."""

    path: str
    at: tuple[str | int, ...]
    parts: tuple[str, ...]


SHAPES: Mapping[str, Shape] = {
    "onyx": Shape("/connector/indexing-status", (0, "indexing_statuses"), ("/index-attempts", "indexing-status", "/1")),
    "elastic": Shape("/_connector", ("results",), ("/_sync_job", "/_sync_job/")),
    "lucidworks": Shape("/datasources", (), ("/status", "/history", "/intranet/")),
    "feldera": Shape("/pipelines", (), ("/stats", "/nightly", "/orders")),
    "zensearch": Shape("/connectors", ("data",), ("/connectors",)),
}


def _edits(shape: Shape) -> Mapping[str, _Switches]:
    def edit(do: str, value: Any, *further: str | int) -> dict[str, Any]:
        return {"edits": [{"path": shape.path, "at": [*shape.at, *further], "do": do, "value": value}]}

    beside = () if isinstance(shape.at[:1] and shape.at[0], str) else (0,)
    return {
        "an entry that is none": lambda chance: edit("put", chance.choice([7, None, "x", []]), 0),
        "a list told twice": lambda chance: edit("repeat", 2),
        "a list that is empty once": lambda chance: {**edit("put", []), "edited_answers": 1},
        "a list cut short": lambda chance: {**edit("keep", 2), "edited_answers": 1},
        "a megabyte of something": lambda chance: {
            "edits": [{"path": shape.path, "at": [*beside, "padding"], "do": "fill", "value": 1_000_000}]
        },
    }


def draw(kind: str, chance: Random) -> Trouble:
    """What happens next to a system of this kind."""
    shape = SHAPES[kind]
    choices = {**_ANYWHERE, **_edits(shape)}
    name = chance.choice(["server stopped", *choices])
    seconds = chance.uniform(0.5, 5.0)
    if name == "server stopped":
        return Trouble(name, seconds, stops=True)
    switches = choices[name](chance)
    if "edits" not in switches and "skew" not in switches and chance.random() < 0.5:
        switches["path"] = chance.choice(shape.parts)
    return Trouble(name, seconds, switches)
