"""Who polls a system: this gateway, another one, or nobody; logged as it changes."""

import logging
import time
from collections.abc import Callable
from enum import StrEnum

from connectory.store.leases.leases import Leases

_log = logging.getLogger(__name__)
#: Seconds for which nobody may poll a system while another gateway takes over.
TAKEOVER = 5.0


class Polled(StrEnum):
    """By whom."""

    THIS = "this"
    OTHER = "other"
    NOBODY = "nobody"


class Standby:
    """Of one system. ``ticks`` counts seconds."""

    def __init__(self, leases: Leases, lease: str, system: str, ticks: Callable[[], float] = time.monotonic) -> None:
        self._leases, self._lease, self._system, self._ticks = leases, lease, system, ticks
        self._logged = ""
        #: since when nobody polls it, as far as we saw
        self._nobody_since: float | None = None

    @property
    def polled(self) -> Polled:
        if self._leases.held(self._lease) is not None:
            return Polled.THIS
        return Polled.OTHER if self._leases.holder(self._lease) is not None else Polled.NOBODY

    @property
    def sentence(self) -> str:
        """Of a system that another gateway polls, or nobody."""
        holder = self._leases.holder(self._lease)
        return f"nobody polls {self._system}" if holder is None else f"{self._system} is polled by {holder}"

    def look(self) -> None:
        """Log what has changed; to be called every second or so."""
        polled, now = self.polled, self._ticks()
        if polled is not Polled.NOBODY:
            self._nobody_since = None
        elif self._nobody_since is None:
            self._nobody_since = now
        if polled is Polled.NOBODY and not self.is_abandoned:
            return  # somebody is about to
        sentence = f"this gateway polls {self._system}" if polled is Polled.THIS else self.sentence
        if sentence != self._logged:
            self._logged = sentence
            level = logging.WARNING if polled is Polled.NOBODY else logging.INFO
            _log.log(level, sentence, extra={"action": "lease", "system": self._system, "holder": polled.value})

    @property
    def is_abandoned(self) -> bool:
        """Nobody polls it for longer than taking over takes."""
        since = self._nobody_since
        return since is not None and self._ticks() - since > self._leases.expiry + TAKEOVER

    @property
    def note(self) -> str | None:
        """What a gateway that does not poll it tells of it."""
        polled = self.polled
        return self.sentence if polled is Polled.OTHER or (polled is Polled.NOBODY and self.is_abandoned) else None
