"""Whose bytes are read next."""

import asyncio

from connectory.web.intake import PER_TURN, Intake
from tests.wait import until


class Sender:
    """Has so many chunks to be read."""

    def __init__(self, intake: Intake, read: list[str], client: str, name: str, chunks: int = 1) -> None:
        self.client, self.lately = client, (0, 0)
        self._intake, self._all, self._name, self._left = intake, read, name, chunks

    def begin(self) -> None:
        if self._intake.goes_now(self):
            self.proceed()
        else:
            self._intake.put(self)

    def proceed(self) -> None:
        self._all.append(self._name)
        self._left -= 1
        if self._left:
            self._intake.put(self)

    def abort(self) -> None:
        self._all.append(f"{self._name} is gone")


async def read_all(read: list[str], count: int) -> None:
    async def look() -> bool:
        return len(read) == count

    await until(look)


async def test_a_turn_takes_so_much_and_no_more() -> None:
    intake, read = Intake(), list[str]()
    Sender(intake, read, "a", "a", chunks=5 * PER_TURN).begin()
    for turn in range(5):
        assert len(read) <= (turn + 1) * PER_TURN + 1
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(read) == 5 * PER_TURN


async def test_clients_take_turns() -> None:
    intake, read = Intake(), list[str]()
    for n in range(100):
        Sender(intake, read, "many", f"{n}").begin()
    Sender(intake, read, "one", "one").begin()
    await read_all(read, 101)
    assert read.index("one") <= PER_TURN + 2


async def test_of_one_client_who_has_sent_little_comes_first() -> None:
    intake, read = Intake(), list[str]()
    for n in range(20):
        Sender(intake, read, "a", f"much {n}", chunks=50).begin()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    before = len(read)
    Sender(intake, read, "a", "little").begin()
    await read_all(read, 1001)
    assert read.index("little") - before < 20, "those who have sent as little come before it, and nobody else"


async def test_who_cannot_be_read_costs_the_others_nothing() -> None:
    intake, read = Intake(), list[str]()

    class Broken(Sender):
        def proceed(self) -> None:
            raise ValueError

    for n in range(PER_TURN):
        Sender(intake, read, "a", f"{n}").begin()
    Broken(intake, read, "a", "broken").begin()
    Sender(intake, read, "a", "last").begin()
    await read_all(read, PER_TURN + 2)
    assert "broken is gone" in read
