"""Which gateway does what only one may do: poll a system, send notices, remove what is too old.

A lease has an expiry that its holder renews. What it guards is written in ``guarded`` transactions only, so that a
holder who was taken for dead, and was not, writes nothing when it goes on.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.store.leases.postgres import PostgresLeases
from connectory.store.leases.rows import Holder, Lease, LeaseLost, LeaseStore, LeaseTable, Own, lock
from connectory.store.leases.sqlite import SqliteLeases
from connectory.store.write_health import reason

_log = logging.getLogger(__name__)
#: Seconds after which a lease that nobody has renewed is anybody's.
EXPIRY = 10.0
#: Parts of these seconds: between renewals, between looks at leases that we want and have not.
_RENEWAL, _RETRY = 0.3, 0.1


class Leases:
    """Those of one store that a process has opened. ``ticks`` counts seconds."""

    def __init__(self, store: LeaseStore, *, ticks: Callable[[], float] = time.monotonic) -> None:
        self.own = Own()
        self.expiry = EXPIRY
        self._store, self._ticks = store, ticks
        self._table: LeaseTable
        self._sqlite: SqliteLeases | None = None
        if store.is_sqlite:
            self._table = self._sqlite = SqliteLeases(store, self.own)
        else:
            self._table = PostgresLeases(store, self.own, self._wake)
        self._wanted: set[str] = set()
        self._held: dict[str, Lease] = {}
        #: when what we hold was renewed last, by our own count
        self._renewed = 0.0
        #: who has what we have not, as we looked last
        self._holders: dict[str, Holder | None] = {}
        self._listeners: dict[str, Callable[[], None]] = {}
        self._round: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._wakeup = asyncio.Event()

    def listen(self, name: str, listener: Callable[[], None]) -> None:
        """Call ``listener`` every second or so, and soon after the lease was taken or lost."""
        self._listeners[name] = listener

    async def hold(self, name: str) -> Lease | None:
        """Take the lease, or make sure that it is still ours, and go on trying; None while another process has it.

        Raises what the database raises when it is down.
        """
        if name not in self._wanted:
            self._wanted.add(name)
            if self._round is not None and not self._round.done():
                await asyncio.wait([self._round])  # it began without this one
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep(), name="leases")
        if self.held(name) is None:
            await self._have_round()
        return self.held(name)

    def held(self, name: str) -> Lease | None:
        """The lease, if it is ours as far as we can know now."""
        is_sure = self._table.is_connected and self._ticks() < self._renewed + self.expiry
        return self._held.get(name) if is_sure else None

    def holder(self, name: str) -> Holder | None:
        """Which other process had the lease when we looked last; None: nobody, or we."""
        return self._holders.get(name)

    @asynccontextmanager
    async def guarded(self, lease: Lease) -> AsyncIterator[AsyncConnection]:
        """A transaction as ``Store.write`` gives it, for what only the holder may write; nobody else does meanwhile.

        Raises LeaseLost, and then nothing is written.
        """
        begun = None
        async with self._store.write() as connection:
            try:
                await lock(connection, lease)
            except LeaseLost:
                self._lose(lease)
                raise
            yield connection
            if self._sqlite is not None and self._is_due:
                # nobody could renew what is ours while we kept everybody from writing
                begun = self._ticks()
                await self._sqlite.renew_within(connection, self.expiry)
        self._renewed = begun or self._renewed

    async def close(self) -> None:
        """Give everything back at once."""
        ending = [task for task in (self._keeping, self._round) if task is not None]
        for task in ending:
            task.cancel()
        if ending:
            await asyncio.wait(ending)
        self._keeping = self._round = None
        self._held.clear()
        await self._table.close()

    # ---- keeping

    @property
    def _is_due(self) -> bool:
        return bool(self._held) and self._ticks() >= self._renewed + self.expiry * _RENEWAL

    async def _keep(self) -> None:
        fails = False
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.expiry * _RETRY):
                    await self._wakeup.wait()
            self._wakeup.clear()
            try:
                if self._is_due or self._wanted - self._held.keys() or not self._table.is_connected:
                    await self._have_round()
            except Exception as error:
                if not fails:
                    _log.warning(f"leases cannot be renewed: {reason(error)}", extra={"action": "leases_failed"})
                fails = True
            else:
                fails = False
            self._tell()

    async def _have_round(self) -> None:
        """One at a time, for everybody who wants one."""
        if self._round is None or self._round.done():
            self._round = asyncio.create_task(self._go_round(), name="leases")
            self._round.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(self._round)

    async def _go_round(self) -> None:
        if not self._table.is_connected:
            self._held.clear()  # with our session everything was free for others
        if self._is_due:
            begun = self._ticks()
            fences = await self._table.renew(self.expiry)
            self._renewed = begun
            self._held = {name: lease for name, lease in self._held.items() if fences.get(name) == lease.fence}
        if missing := sorted(self._wanted - self._held.keys()):
            await self._take(missing)
        self._tell()

    async def _take(self, names: list[str]) -> None:
        found = await self._table.look(names, self.expiry)
        for name, seen in found.items():
            self._holders[name] = seen.holder
            if not seen.is_free:
                continue
            begun = self._ticks()
            fence = await self._table.take(name, self.expiry)
            if fence is not None:
                self._renewed = self._renewed if self._held else begun
                self._held[name] = Lease(name, fence)

    def _lose(self, lease: Lease) -> None:
        if self._held.get(lease.name) == lease:
            del self._held[lease.name]
            self._wake()

    def _wake(self) -> None:
        self._wakeup.set()

    def _tell(self) -> None:
        for listener in self._listeners.values():
            listener()
