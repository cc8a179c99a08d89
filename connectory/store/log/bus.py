"""Wake-ups. The change log in the store is the truth; a bus only wakes those who wait for it to grow."""

import asyncio


class Bus:
    """Tells everybody in this process that the log has come to a position."""

    def __init__(self) -> None:
        self.position = 0
        self._grown = asyncio.Event()

    def wake(self, position: int) -> None:
        """The log has come to ``position``; whoever waits for less goes on."""
        if position > self.position:
            self.position = position
            grown, self._grown = self._grown, asyncio.Event()
            grown.set()

    async def wait(self, beyond: int) -> int:
        """Return as soon as the log is known to be longer than ``beyond``, with its position."""
        while self.position <= beyond:
            await self._grown.wait()
        return self.position
