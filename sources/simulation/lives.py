"""What simulated worlds have in common: how runs end, what is paused by turns, and visitors that come and go."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from sources.simulation.clock import World

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Profile:
    """How the runs of something simulated go. Each kind adds what its runs have besides."""

    #: how a run ends, by the upstream's word → its weight
    ends: Mapping[str, float]

    def end(self, chance: random.Random) -> str:
        """How one run ends."""
        return chance.choices(list(self.ends), weights=list(self.ends.values()))[0]


def by_turns(
    world: World,
    seconds: tuple[float, float],
    is_paused: Callable[[], bool],
    *,
    pause: Callable[[], None],
    resume: Callable[[], None],
) -> None:
    """Pause and resume by turns, for ever, with so many seconds between two turns, at least and at most."""
    (resume if is_paused() else pause)()
    world.after(
        world.random.uniform(*seconds),
        lambda: by_turns(world, seconds, is_paused, pause=pause, resume=resume),
    )


def visits(
    world: World, arrive: Callable[[], _T], leave: Callable[[_T], None], *, stay: tuple[float, float], every: float
) -> None:
    """Let something come, stay for so many seconds, at least and at most, and go again; the next one comes ``every``
    seconds."""
    visitor = arrive()
    world.after(world.random.uniform(*stay), lambda: leave(visitor))
    world.after(every, lambda: visits(world, arrive, leave, stay=stay, every=every))
