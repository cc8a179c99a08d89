"""Who watches what: the jobs and connectors that somebody, here or at another gateway, wants to see moving."""

import base64
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from math import inf
from typing import NamedTuple

from connectory.store.tables.identity import CONNECTOR, JOB, type_of

#: Seconds after which another gateway's watch is forgotten unless it has been renewed.
LASTING = 30.0

_HERE = ""


class Watched(NamedTuple):
    """A job or connector, by its global id and by what that says."""

    id: str
    system: str
    type: str
    name: str


class Watches:
    """Counts the watchers of this gateway, and remembers those of others as long as they are renewed.

    Ids that are malformed, or of none of ``systems``, are ignored. ``clock`` counts seconds.
    """

    def __init__(self, systems: Collection[str], clock: Callable[[], float]) -> None:
        self._systems, self._clock = systems, clock
        self._here: Counter[Watched] = Counter()
        #: system → what is watched of it → gateway → until when
        self._until: dict[str, dict[Watched, dict[str, float]]] = defaultdict(dict)

    def __len__(self) -> int:
        """Jobs and connectors that somebody watches."""
        return sum(len(things) for things in self._until.values())

    def add(self, ids: Iterable[str]) -> list[Watched]:
        """One more watcher here of each. Returns those that had none here."""
        new = []
        for thing in self._read(ids):
            self._here[thing] += 1
            if self._here[thing] == 1:
                new.append(thing)
                self._keep(thing, _HERE, inf)
        return new

    def remove(self, ids: Iterable[str]) -> list[Watched]:
        """One watcher fewer here of each. Returns those that have none here any more."""
        left = []
        for thing in self._read(ids):
            if self._here[thing] == 1:
                left.append(thing)
                self._drop(thing, _HERE)
            self._here[thing] -= 1
            if self._here[thing] <= 0:
                del self._here[thing]
        return left

    def here(self) -> list[Watched]:
        """What is watched at this gateway."""
        return list(self._here)

    def hear(self, gateway: str, ids: Iterable[str]) -> list[Watched]:
        """Another gateway says that these are watched there. Returns them."""
        heard = self._read(ids)
        for thing in heard:
            self._keep(thing, gateway, self._clock() + LASTING)
        return heard

    def hear_left(self, gateway: str, ids: Iterable[str]) -> None:
        """Another gateway says that the last watcher of these has left there."""
        for thing in self._read(ids):
            self._drop(thing, gateway)

    def sweep(self) -> None:
        """Forget what other gateways have not renewed."""
        now = self._clock()
        for things in self._until.values():
            for thing, until in list(things.items()):
                for gateway in [gateway for gateway, end in until.items() if end <= now]:
                    self._drop(thing, gateway)

    def among(self, system: str, jobs: Mapping[str, str | None]) -> frozenset[str]:
        """Those of a system's jobs (→ their connector, both as the system calls them) that somebody watches."""
        now = self._clock()
        things = self._until.get(system, {}).items()
        names = {(thing.type, thing.name) for thing, until in things if max(until.values()) > now}
        if not names:
            return frozenset()
        return frozenset(job for job, of in jobs.items() if (JOB, job) in names or (CONNECTOR, of) in names)

    def _keep(self, thing: Watched, gateway: str, until: float) -> None:
        self._until[thing.system].setdefault(thing, {})[gateway] = until

    def _drop(self, thing: Watched, gateway: str) -> None:
        things = self._until[thing.system]
        gateways = things.get(thing, {})
        gateways.pop(gateway, None)
        if not gateways:
            things.pop(thing, None)

    def _read(self, ids: Iterable[str]) -> list[Watched]:
        return [thing for id in ids if (thing := _watched(id)) is not None and thing.system in self._systems]


def _watched(id: str) -> Watched | None:
    if type_of(id) not in (CONNECTOR, JOB):
        return None
    type_name, system, *name = base64.b64decode(id).decode().split(":", 2)
    return Watched(id, system, type_name, name[0]) if name else None
