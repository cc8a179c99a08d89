"""What the resolvers of one operation share: who asks, one snapshot of the store, and its loaders."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from aiodataloader import DataLoader

from connectory.lanes import Lane
from connectory.limits import OperationLimits
from connectory.model import ActionRefusal, Role
from connectory.store import Store
from connectory.store.reads.snapshot import Snapshot, open_snapshot
from resolvers.budget import Budget

#: Part of an operation's time for which it waits for a connection: then some is left to say that there is none.
_WAITING = 0.8
#: Keys per SQL statement; both stores take several times as many.
_BATCH = 8000

BatchFunction = Callable[[list[Any]], Coroutine[Any, Any, list[Any]]]


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks."""

    name: str
    role: Role


class Actions(Protocol):
    """The port to the engine. Each action answers once it is done or failed: with None, or with why not."""

    async def refresh(self, system: str) -> ActionRefusal | None:
        """Poll ``system`` now: skips a back-off and an authentication hold, never a Retry-After."""

    async def acknowledge(self, notice: str, by: str) -> ActionRefusal | None:
        """Note that ``by`` has seen to the notice with this id."""


class _Shielded(DataLoader[Any, Any]):
    """A loader of several executions: one that is given up takes nothing from the others."""

    def load(self, key: Any = None) -> "asyncio.Future[Any]":
        return asyncio.shield(super().load(key))


def _itself(key: Any) -> Any:
    """A loader's own default is made for each loader, and holds it."""
    return key


class Loaders:
    """The loaders over one snapshot, by name. ``is_shared``: several executions load by them."""

    def __init__(self, *, is_shared: bool = False) -> None:
        self._make = _Shielded if is_shared else DataLoader[Any, Any]
        self._by_name: dict[Hashable, DataLoader[Any, Any]] = {}

    def get(self, name: Hashable, batch: BatchFunction) -> DataLoader[Any, Any]:
        """``batch`` makes it on first use."""
        found = self._by_name.get(name)
        if found is None:
            found = self._by_name[name] = self._make(batch, max_batch_size=_BATCH, get_cache_key=_itself)
        return found

    def clear(self) -> None:
        """Forget what was loaded: whoever asks for it knows the loaders, and they know who asked."""
        self._by_name.clear()


View = tuple[Snapshot, Loaders]


class Context:
    """One per operation, never shared between two: loaders remember what they loaded."""

    def __init__(
        self,
        store: Store,
        viewer: Viewer,
        actions: Actions | None = None,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        take: Callable[[], AbstractAsyncContextManager[View]] | None = None,
        limits: OperationLimits | None = None,
    ) -> None:
        """``take`` gives the snapshot and its loaders, by default new ones."""
        self.viewer = viewer
        self.actions = actions
        self._store = store
        self._clock = clock
        self._take = take
        self._stack = AsyncExitStack()
        self._snapshot: Snapshot | None = None
        self._opening: asyncio.Task[Snapshot] | None = None
        self._loaders = Loaders()
        self.budget = Budget(limits or OperationLimits())
        #: whose turn it is to make buckets of history
        self.turn = asyncio.Lock()
        #: systems that this operation has refreshed since it last did anything else, and what came of it
        self.refreshed: dict[str, ActionRefusal | None] = {}

    async def snapshot(self) -> Snapshot:
        """The operation's one view of the store, taken when it is first needed.

        All who wait for it go on in the same turn of the loop, so that what they load next is one batch.
        """
        if self._snapshot is not None:
            return self._snapshot
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
        return await asyncio.shield(self._opening)

    async def _open(self) -> Snapshot:
        taken = self._take() if self._take else self._take_own()
        snapshot, self._loaders = await self._stack.enter_async_context(taken)
        self._snapshot = snapshot
        return snapshot

    @asynccontextmanager
    async def _take_own(self) -> AsyncIterator[View]:
        patience = _WAITING * self.budget.limits.seconds
        async with open_snapshot(self._store, self._clock(), Lane.CLIENTS, patience=patience) as snapshot:
            loaders = Loaders()
            try:
                yield snapshot, loaders
            finally:
                loaders.clear()

    def over(self, take: Callable[[], AbstractAsyncContextManager[View]]) -> "Context":
        """A context for the same viewer, over what ``take`` gives."""
        return Context(self._store, self.viewer, self.actions, clock=self._clock, take=take, limits=self.budget.limits)

    def loader(self, name: Hashable, batch: BatchFunction) -> DataLoader[Any, Any]:
        """The operation's loader of that name; ``batch`` makes it on first use. To be asked for after the snapshot."""
        return self._loaders.get(name, batch)

    async def renew(self) -> None:
        """Let the rest of the operation see what an action has changed."""
        await self.close()
        self._stack, self._snapshot, self._opening, self._loaders = AsyncExitStack(), None, None, Loaders()

    async def close(self) -> None:
        """Give the snapshot back, in the middle of a statement too. One that is still waited for is wanted no more."""
        try:
            if self._opening is not None:
                self._opening.cancel()
                await asyncio.gather(self._opening, return_exceptions=True)
        finally:
            await self._stack.aclose()
