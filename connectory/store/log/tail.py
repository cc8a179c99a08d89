"""The change log as it grows: one reader per process, whatever the number of those who want to know."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select

from connectory.store.database import Store
from connectory.store.log.bus import Bus
from connectory.store.log.cursors import NO_STORE, Place
from connectory.store.log.entries import EVENT_COLUMNS, event_record
from connectory.store.reads.records import EventRecord, SystemRecord
from connectory.store.reads.snapshot import Snapshot, open_snapshot
from connectory.store.tables import EVENTS

_log = logging.getLogger(__name__)
#: Rows that are read and handed over at once.
CHUNK = 1_000
#: Seconds between attempts while the store fails: the first and the longest.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


@dataclass(frozen=True, slots=True)
class LogBatch:
    """Every row of the log that is kept after the place of the batch before, up to ``place``."""

    events: list[EventRecord]
    place: Place
    #: configured systems by id
    systems: Mapping[str, SystemRecord]
    #: the log is not the one that was followed so far: positions of that one mean nothing in it
    is_another: bool = False

    @property
    def position(self) -> int:
        """That of the place."""
        return self.place.position


class Tail:
    """Follows the change log: one read per wake-up.

    ``clock`` tells the time (UTC-aware). ``poll_interval``, in seconds, is how long a change can stay unseen that
    nobody has told the bus of.
    """

    def __init__(
        self,
        store: Store,
        bus: Bus,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        poll_interval: float = 1.0,
    ) -> None:
        #: everything up to here has been handed over, or was skipped while nobody listened
        self.place = Place(0, None, NO_STORE)
        #: while false, positions are handed over without their rows, which nobody has to read then
        self.listening = False
        self._store, self._bus, self._clock, self._poll_interval = store, bus, clock, poll_interval
        self._listener: Callable[[LogBatch], None] = lambda _: None
        self._missed: Callable[[], None] = lambda: None
        self._has_begun = False

    @property
    def position(self) -> int:
        return self.place.position

    def listen(self, listener: Callable[[LogBatch], None], missed: Callable[[], None] = lambda: None) -> None:
        """Hand batches to ``listener`` from now on. ``place`` follows before anything else can run.

        ``missed`` is called in the place of the rest of a hand-over that failed: what was to be told since the
        position before it stands in the log alone.
        """
        self._listener, self._missed = listener, missed

    async def begin(self) -> None:
        """Take the log's present end as the beginning. Raises what the database raises when it is down."""
        async with open_snapshot(self._store, self._clock()) as snapshot:
            self.place, self._has_begun = snapshot.end, True

    async def run(self) -> None:
        """Follow for ever. A store that fails is logged once and tried again; no row is skipped for it."""
        pause, woken = 0.0, self._bus.position
        while True:
            try:
                await self._catch_up()
            except Exception as error:
                if not pause:
                    _log.warning(f"the change log cannot be read: {error}", extra={"action": "tail_failed"})
                pause = min(_LONGEST_PAUSE, 2 * pause) or _FIRST_PAUSE
            else:
                if pause:
                    _log.info("the change log can be read again", extra={"action": "tail_recovered"})
                pause = 0.0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause or self._poll_interval):
                    # a position that we were told of and did not find is no reason to look again at once
                    await self._bus.wait(woken if pause else max(self.position, woken))
            woken = self._bus.position

    async def _catch_up(self) -> None:
        if not self._has_begun:
            await self.begin()
        async with open_snapshot(self._store, self._clock()) as snapshot:
            if self._is_beyond(snapshot):
                self._hand_over(LogBatch([], snapshot.end, snapshot.systems, is_another=True))
            while self.position < snapshot.position:
                if self.listening:
                    self._hand_over(await self._read(snapshot))
                else:
                    self._hand_over(LogBatch([], snapshot.end, snapshot.systems))

    def _is_beyond(self, snapshot: Snapshot) -> bool:
        """Whether the place is none of this log, as far as its end tells."""
        end = snapshot.end
        return (
            end.store != self.place.store
            or end.position < self.position
            or (end.position == self.position and end != self.place)
        )

    async def _read(self, snapshot: Snapshot) -> LogBatch:
        """The rows from the place on, which comes first where it is kept."""
        at = EVENTS.c.position
        newer = select(*EVENT_COLUMNS).where(at >= self.position, at <= snapshot.position)
        rows = await snapshot.fetch(newer.order_by(at).limit(CHUNK + 1))
        if rows and rows[0].position == self.position:
            if rows[0].mark != self.place.mark:
                return LogBatch([], snapshot.end, snapshot.systems, is_another=True)
            rows = rows[1:]
        events = [event_record(row, snapshot.store) for row in rows[:CHUNK]]
        if len(events) < CHUNK:
            return LogBatch(events, snapshot.end, snapshot.systems)
        last = Place(events[-1].position, rows[CHUNK - 1].mark, snapshot.store)
        return LogBatch(events, last, snapshot.systems)

    def _hand_over(self, batch: LogBatch) -> None:
        if batch.is_another:
            _log.warning("the change log is another one than it was", extra={"action": "tail_log_replaced"})
        try:
            self._listener(batch)
        except Exception:  # handed over again, it would reach some of those who want it twice
            _log.exception("the listener to the change log failed", extra={"action": "tail_listener_failed"})
            self._missed()
        self.place = batch.place
