"""How many connections there may be, in all and of one client, and how much is held for them.

Where there is no room, the connection that has waited longest for a request makes it: who asks nothing gives way. Where
all are being answered, a few newcomers more may ask whether we live, and nothing else.
"""

import asyncio
import logging
from collections import Counter, defaultdict, deque
from enum import Enum, StrEnum
from typing import Protocol

#: Connections beyond the limits, for probes.
FOR_PROBES = 64
#: Files that are left for everything else: the store, upstream systems, receivers.
OTHER_FILES = 256
#: Seconds that a connection has to ask something before it makes room for another.
GRACE = 0.25
#: Bytes that may be held for all clients together: requests that are not complete, and answers that are not taken.
MOST_HELD = 128 << 20
#: Seconds between two lines of the log that say how many connections were ended.
REPORT_EVERY = 10.0

_log = logging.getLogger(__name__)


class Ended(StrEnum):
    """Why a connection was ended by us."""

    #: asked nothing for as long as may be
    IDLE = "idle"
    #: sent a request or a message too slowly
    LATE = "late"
    #: did not take what it was sent
    STALLED = "stalled"
    #: sent more frames than any client has use for
    FLOODING = "flooding"
    #: asked nothing, and others needed its place
    CROWDED_OUT = "crowded_out"
    #: came when there was no room
    REFUSED = "refused"
    #: too much was held for its client
    MEMORY = "memory"
    #: no file was left for it
    FILES = "files"


class Entry(Enum):
    """What a newcomer may do."""

    ANYTHING = "anything"
    PROBES = "probes"
    NOTHING = "nothing"


class Guest(Protocol):
    """A connection."""

    client: str

    def abort(self) -> None:
        """End it at once, whatever it is at."""


class OpenConnections:
    """Those of one server. ``most`` in all, ``most_of_client`` of one."""

    def __init__(self, most: int, most_of_client: int) -> None:
        self.most = most
        self._most_of_client = most_of_client
        self.ended: Counter[Ended] = Counter(dict.fromkeys(Ended, 0))
        self._guests: set[Guest] = set()
        self._by_client: Counter[str] = Counter()
        #: since when, oldest first: those that ask nothing, of all and of each client
        self._waiting: dict[Guest, float] = {}
        self._waiting_of: defaultdict[str, dict[Guest, float]] = defaultdict(dict)
        self._held: dict[Guest, int] = {}
        self._bytes = 0
        self._reported: Counter[Ended] = Counter()
        self._reporting: asyncio.TimerHandle | None = None

    @property
    def open(self) -> int:
        """How many there are."""
        return len(self._guests)

    @property
    def held(self) -> int:
        """Bytes that are held for clients."""
        return self._bytes

    def fit(self, files: int) -> None:
        """Keep below what the system lets us open."""
        room = max(1, files - OTHER_FILES - FOR_PROBES)
        if room < self.most:
            _log.info(
                "This process may open %d files, so it takes %d connections and not %d.", files, room, self.most,
                extra={"action": "connections.few_files", "files": files, "connections": room},
            )  # fmt: skip
            self.most = room

    def enter(self, guest: Guest) -> Entry:
        """A newcomer, which has asked nothing so far."""
        client = guest.client
        beyond = max(
            self._beyond(self._by_client[client], self._most_of_client, self._waiting_of[client]),
            self._beyond(len(self._guests), self.most, self._waiting),
        )
        if beyond >= FOR_PROBES:
            self.count(Ended.REFUSED)
            self._tidy(client)
            return Entry.NOTHING
        self._guests.add(guest)
        self._by_client[client] += 1
        self.wait(guest)
        return Entry.ANYTHING if beyond < 0 else Entry.PROBES

    def _beyond(self, present: int, most: int, waiting: dict[Guest, float]) -> int:
        """How far the place of a newcomer lies beyond ``most``; below 0 it has one."""
        if present >= most and waiting:
            oldest, since = next(iter(waiting.items()))
            if asyncio.get_running_loop().time() - since >= GRACE:
                self.end(oldest, Ended.CROWDED_OUT)
                present -= 1
        return present - most

    def leave(self, guest: Guest) -> None:
        """It has ended, for whatever reason."""
        if guest in self._guests:
            self.hold(guest, 0)
            self.answer(guest)
            self._guests.discard(guest)
            self._by_client[guest.client] -= 1
            self._tidy(guest.client)

    def _tidy(self, client: str) -> None:
        if not self._by_client[client]:
            del self._by_client[client]
            self._waiting_of.pop(client, None)

    def wait(self, guest: Guest) -> None:
        """It asks nothing, or has not finished asking."""
        if guest in self._guests and guest not in self._waiting:
            now = asyncio.get_running_loop().time()
            self._waiting[guest] = self._waiting_of[guest.client][guest] = now

    def answer(self, guest: Guest) -> None:
        """It has asked something."""
        if self._waiting.pop(guest, None) is not None:
            del self._waiting_of[guest.client][guest]

    def end(self, guest: Guest, reason: Ended) -> None:
        """End it for a reason that is counted."""
        self.count(reason)
        self.leave(guest)
        guest.abort()

    # ---- memory

    def hold(self, guest: Guest, size: int) -> None:
        """So many bytes are held for it now. Beyond the limit, the client for whom most is held loses its oldest."""
        if guest not in self._guests:
            return
        self._bytes += size - self._held.get(guest, 0)
        if size:
            self._held[guest] = size
        else:
            self._held.pop(guest, None)
        if self._bytes > MOST_HELD:
            self._lighten()

    def _lighten(self) -> None:
        sizes: Counter[str] = Counter()
        guests: defaultdict[str, deque[Guest]] = defaultdict(deque)
        for guest, size in self._held.items():
            sizes[guest.client] += size
            guests[guest.client].append(guest)
        while self._bytes > MOST_HELD * 3 // 4:
            (client, _), *_ = sizes.most_common(1)
            guest = guests[client].popleft()
            sizes[client] -= self._held[guest]
            self.end(guest, Ended.MEMORY)

    # ---- what is told

    def count(self, reason: Ended) -> None:
        """Count what was ended for that reason; the log tells of it in a while, unless it was idle."""
        self.ended[reason] += 1
        if reason is not Ended.IDLE and self._reporting is None:
            self._reporting = asyncio.get_running_loop().call_later(REPORT_EVERY, self._report)

    def _report(self) -> None:
        self._reporting = None
        new = self.ended - self._reported
        self._reported = self.ended.copy()
        del new[Ended.IDLE]
        _log.warning(
            "Connections ended within %g s: %s.", REPORT_EVERY, ", ".join(f"{why} {n}" for why, n in new.items()),
            extra={"action": "connections.ended", "connections": self.open, **{why.value: n for why, n in new.items()}},
        )  # fmt: skip
