"""One snapshot for all that is rendered after the same wake-up: an event shows the same present to everybody.

Loaders belong to it: what a snapshot shows does not change, so what was loaded from it cannot be out of date, and what
a hundred events want at once is one statement.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from connectory.store.reads.snapshot import Snapshot
from resolvers.context import Loaders

#: Seconds after which a snapshot is shared no further, even while the log does not grow.
_OLDEST = 1.0

OpenSnapshot = Callable[[], AbstractAsyncContextManager[Snapshot]]


class SharedSnapshots:
    """Lends the snapshot of the present moment to whoever renders, and closes it when the last has given it back."""

    def __init__(self, open_snapshot: OpenSnapshot) -> None:
        self._open_snapshot = open_snapshot
        self._shared: _SharedSnapshot | None = None
        #: the present one's number
        self.number = 0
        #: those whose snapshot is open
        self._held: set[asyncio.Task[None]] = set()

    def pass_on(self) -> None:
        """The log has grown: whoever asks from now on is shown what is newer."""
        self._shared = None
        self.number += 1

    @asynccontextmanager
    async def present(self, least: int = 0) -> AsyncIterator[tuple[Snapshot, Loaders]]:
        """One that has come to ``least`` of the log, if the log has: somebody may have read it further than the
        snapshot that is shared now, which nobody has been told to pass on yet."""
        shared = await self._borrow()
        if shared.position < least:
            shared.give_back()
            if self._shared is shared:
                self.pass_on()
            shared = await self._borrow()
        try:
            yield shared.snapshot.result(), shared.loaders
        finally:
            shared.give_back()

    async def _borrow(self) -> "_SharedSnapshot":
        shared = self._shared
        if shared is None or shared.is_over or shared.age > _OLDEST:
            shared = self._shared = _SharedSnapshot(self._open_snapshot)
            self._held.add(shared.task)
            shared.task.add_done_callback(self._held.discard)
        shared.users += 1
        try:
            await asyncio.shield(shared.snapshot)
        except BaseException:
            shared.give_back()
            raise
        return shared

    async def close(self) -> None:
        """Return once every snapshot has been given back: the store may be closed then."""
        while self._held:
            await asyncio.wait(set(self._held))


class _SharedSnapshot:
    """A snapshot in a task of its own: it is opened and closed by the same task, whoever comes and goes."""

    def __init__(self, open_snapshot: OpenSnapshot) -> None:
        self.users = 0
        self.loaders = Loaders(is_shared=True)
        self.snapshot: asyncio.Future[Snapshot] = asyncio.get_running_loop().create_future()
        self._open_snapshot = open_snapshot
        self._over = asyncio.Event()
        self._began = asyncio.get_running_loop().time()
        self.task = asyncio.create_task(self._hold(), name="live snapshot")

    @property
    def is_over(self) -> bool:
        return self._over.is_set() or self.task.done()

    @property
    def age(self) -> float:
        """Seconds."""
        return asyncio.get_running_loop().time() - self._began

    @property
    def position(self) -> int:
        """Of the log, once it is open."""
        return self.snapshot.result().position

    def give_back(self) -> None:
        self.users -= 1
        if self.users == 0:
            self._over.set()
            if not self.snapshot.done():
                self.task.cancel()  # nobody waits for it any more

    async def _hold(self) -> None:
        try:
            async with self._open_snapshot() as snapshot:
                self.snapshot.set_result(snapshot)
                await self._over.wait()
        except Exception as error:
            if not self.snapshot.done():
                self.snapshot.set_exception(error)
                self.snapshot.exception()  # told to whoever waits; nobody may
        finally:
            self.loaders.clear()
