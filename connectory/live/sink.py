"""Where the results of one subscription go: what a transport implements."""

from collections.abc import Sequence
from typing import Protocol


class TooSlow(Exception):
    """The client has not read for too long; its transport ends the connection."""


class Sink(Protocol):
    """One subscription's place on a connection. Nothing here raises when the client has gone: the transport notices
    that by itself and calls ``Subscriber.leave``."""

    @property
    def is_ready(self) -> bool:
        """Whether a message can be sent without anybody having to wait for the client."""

    async def send(self, body: bytes, cursor: str) -> None:
        """Send one result. ``body`` is the JSON text of an execution result, the same object for everybody who gets it;
        ``cursor`` is its place in the log, for transports that have event ids. Never suspends while ``is_ready``."""

    async def send_all(self, results: Sequence[tuple[bytes, str]]) -> None:
        """Send several results at once, in order; they are given as to ``send``."""

    async def drained(self) -> None:
        """Return once the sink is ready again. Raises TooSlow when the client does not read within the deadline."""

    async def complete(self) -> None:
        """Tell that nothing more comes."""
