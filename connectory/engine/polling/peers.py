"""The other gateways on the same store: what is watched here travels to the one that polls, and so does a refresh."""

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from connectory.engine.polling.watches import Watched, Watches
from connectory.model import ActionFailureCode, ActionRefusal
from connectory.store.log.notify_channel import LONGEST_PAYLOAD, REFRESH_CHANNEL, WATCHES_CHANNEL, NotifyChannel

#: Seconds between renewals of what is watched here.
RENEWAL = 10.0
#: Seconds that another gateway has for a refresh.
PATIENCE = 60.0
#: Characters of a refusal's sentence; escaped as JSON they still fit into one message.
_LONGEST_SENTENCE = 1_000


class LocalPoller(Protocol):
    """One system's poller, as far as other gateways need it."""

    elsewhere: ActionRefusal

    @property
    def unanswered(self) -> ActionRefusal:
        """What is answered in the place of another gateway that does not."""

    @property
    def is_here(self) -> bool:
        """Whether this gateway polls the system."""

    def wake(self) -> None:
        """What is watched of the system may have changed."""

    async def refresh(self) -> ActionRefusal | None: ...


class Peers:
    """Speaks for the gateway ``name``, which no other gateway has. All times are seconds."""

    def __init__(
        self,
        notify_channel: NotifyChannel,
        watches: Watches,
        pollers: Mapping[str, LocalPoller],
        *,
        name: str,
        renewal: float = RENEWAL,
        patience: float = PATIENCE,
    ) -> None:
        self._notify_channel, self._watches, self._pollers, self._name = notify_channel, watches, pollers, name
        self._renewal, self._patience = renewal, patience
        #: refreshes that were asked of another gateway: number → its outcome
        self._asked: dict[int, asyncio.Future[ActionRefusal | None]] = {}
        self._count = 0
        #: refreshes that another gateway asked of us
        self._answering: set[asyncio.Task[None]] = set()
        notify_channel.listen(WATCHES_CHANNEL, self._heard(self._hear_watches))
        notify_channel.listen(REFRESH_CHANNEL, self._heard(self._hear_refresh))

    async def run(self) -> None:
        """Renew for ever what is watched here of systems that another gateway polls."""
        try:
            while True:
                await asyncio.sleep(self._renewal)
                self._watches.sweep()
                self.tell_watched(self._watches.here())
        finally:
            for task in self._answering:
                task.cancel()

    # ---- watches

    def tell_watched(self, things: Iterable[Watched]) -> None:
        self._tell_watches("watched", things)

    def tell_left(self, things: Iterable[Watched]) -> None:
        self._tell_watches("left", things)

    def _tell_watches(self, what: str, things: Iterable[Watched]) -> None:
        ids = [thing.id for thing in things if not self._pollers[thing.system].is_here]
        for some in _fitting(ids, LONGEST_PAYLOAD - 200):
            self._tell(WATCHES_CHANNEL, {what: some})

    def _hear_watches(self, gateway: str, message: Mapping[str, Any]) -> None:
        self._watches.hear_left(gateway, message.get("left", ()))
        for system in {thing.system for thing in self._watches.hear(gateway, message.get("watched", ()))}:
            self._pollers[system].wake()

    # ---- refreshes

    async def refresh(self, system: str) -> ActionRefusal | None:
        """Let the gateway that polls ``system`` do so now; its outcome, or a refusal when none answers in time."""
        if not self._notify_channel.reaches_others:
            return self._pollers[system].unanswered
        self._count += 1
        number = self._count
        answer: asyncio.Future[ActionRefusal | None] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        self._tell(REFRESH_CHANNEL, {"refresh": system, "number": number})
        try:
            async with asyncio.timeout(self._patience):
                return await answer
        except TimeoutError:
            return self._pollers[system].unanswered
        finally:
            del self._asked[number]

    def give_up(self, refusal: ActionRefusal) -> None:
        """Nobody will hear the answers any more."""
        for answer in self._asked.values():
            if not answer.done():
                answer.set_result(refusal)

    def _hear_refresh(self, gateway: str, message: Mapping[str, Any]) -> None:
        if message.get("for") == self._name:
            answer = self._asked.get(message["number"])
            if answer is not None and not answer.done():
                answer.set_result(_refusal(message["refusal"]))
        elif (poller := self._pollers.get(message.get("refresh", ""))) is not None and poller.is_here:
            task = asyncio.create_task(self._answer(poller, gateway, message["number"]))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    async def _answer(self, poller: LocalPoller, gateway: str, number: int) -> None:
        refusal = await poller.refresh()
        if refusal is not poller.elsewhere:  # we had just lost it: whoever polls it now answers
            answer = None if refusal is None else _as_json(refusal)
            self._tell(REFRESH_CHANNEL, {"for": gateway, "number": number, "refusal": answer})

    # ---- messages

    def _tell(self, channel: str, message: Mapping[str, Any]) -> None:
        self._notify_channel.send(channel, json.dumps({"gateway": self._name, **message}, ensure_ascii=False))

    def _heard(self, take: Callable[[str, Mapping[str, Any]], None]) -> Callable[[str], None]:
        def hear(payload: str) -> None:
            message = json.loads(payload)
            if message["gateway"] != self._name:
                take(message["gateway"], message)

        return hear


def _fitting(ids: Iterable[str], room: int) -> Iterator[list[str]]:
    """The ids in lists whose JSON text has at most ``room`` bytes. One that is longer by itself does not travel."""
    some: list[str] = []
    size = 0
    for id in ids:
        more = len(id) + 4  # quotes, comma and space
        if more > room:
            continue
        if size + more > room:
            yield some
            some, size = [], 0
        some.append(id)
        size += more
    if some:
        yield some


def _as_json(refusal: ActionRefusal) -> list[Any]:
    message = refusal.message[:_LONGEST_SENTENCE]
    return [refusal.code.name, message, refusal.upstream_status, refusal.retry_after_seconds]


def _refusal(answer: list[Any] | None) -> ActionRefusal | None:
    if answer is None:
        return None
    code, *rest = answer
    return ActionRefusal(ActionFailureCode[code], *rest)
