"""SQLite's write-ahead log, kept from growing for ever.

A checkpoint carries it over into the file beside everybody, but it begins anew only at a moment at which nobody reads
from it. Where readers always overlap there is no such moment, unless new ones wait for a little.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from connectory.store import sqlite

_log = logging.getLogger(__name__)
#: Bytes beyond which readers have to wait. It is no setting: larger than what any poll writes at once, small beside any
#: disk.
BOUND = 64 << 20
#: Seconds between two looks at its size.
INTERVAL = 1.0
#: Seconds for which new readers wait, at most, until those are through that read already, here and elsewhere. Here it
#: is so much longer as the log is larger than it should be, up to so many times.
_DRAIN, _ELSEWHERE, _MOST_TIMES = 0.25, 0.05, 8
#: After an attempt that came to nothing, this many times as long as readers waited, they do not.
_REST = 20
#: Seconds without a write after which it is cut to nothing.
IDLE = 5.0


class WriteAheadLog:
    """That of one file. Readers of other processes are not ours to hold back: with them the bound is what is tried."""

    def __init__(self, file: str) -> None:
        self.bound, self.interval, self.idle = BOUND, INTERVAL, IDLE
        self._file = file
        self._path = Path(f"{file}-wal")
        self._readers = 0
        self._is_open, self._is_unread = asyncio.Event(), asyncio.Event()
        self._is_open.set()
        self._is_unread.set()
        self._fails = False

    @property
    def size(self) -> int:
        """Bytes."""
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[None]:
        """For as long as somebody reads a snapshot."""
        if not self._is_open.is_set():
            await self._is_open.wait()
        self._readers += 1
        self._is_unread.clear()
        try:
            yield
        finally:
            self._readers -= 1
            if not self._readers:
                self._is_unread.set()

    async def run(self) -> None:
        """Keep it within its bound, for ever."""
        while True:
            await asyncio.sleep(self.interval)
            try:
                waited = await self.look()
            except (sqlite3.Error, OSError) as error:
                self._warn(f"SQLite's write-ahead log cannot be carried over: {error}")
            else:
                await asyncio.sleep(_REST * waited)

    async def look(self) -> float:
        """Begin it anew if it is too large, or nobody writes. Returns the seconds for which readers waited in vain."""
        if self.size > self.bound:
            return await self._hold_readers_back()
        if self.size and self._is_idle():
            await self._begin_anew(0.0)
        return 0.0

    def _is_idle(self) -> bool:
        try:
            return time.time() - self._path.stat().st_mtime > self.idle
        except OSError:
            return False

    async def _hold_readers_back(self) -> float:
        await asyncio.to_thread(sqlite.checkpoint, self._file)  # so that little is left to do while they wait
        began = time.monotonic()
        self._is_open.clear()
        try:
            async with asyncio.timeout(_DRAIN * min(self.size / self.bound, _MOST_TIMES)):
                await self._is_unread.wait()
            done = await self._begin_anew(_ELSEWHERE)
        except TimeoutError:
            done = False
        finally:
            self._is_open.set()
        if done:
            self._fails = False
            return 0.0
        self._warn(f"SQLite's write-ahead log has {self.size:,} bytes: somebody reads from it for long")
        return time.monotonic() - began

    async def _begin_anew(self, patience: float) -> bool:
        return await asyncio.to_thread(sqlite.begin_log_anew, self._file, patience)

    def _warn(self, message: str) -> None:
        """Once, until it has succeeded again."""
        if not self._fails:
            self._fails = True
            _log.warning(message, extra={"action": "wal_not_begun_anew"})
