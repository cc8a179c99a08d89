"""Places for operations, and the line before them."""

import asyncio
import contextlib
from collections import Counter
from random import Random

import pytest

from connectory.execution.places import Full, Places, Weight
from connectory.limits import Crowd

CROWD = Crowd(
    operations_at_once=4,
    operations_per_client=3,
    operations_per_socket=2,
    heavy_operations_per_client=1,
    waiting_operations=6,
    waiting_operations_per_client=3,
)
ONE = Crowd(1, 1, 1, 1, 100, 100)
#: Of one client.
MOST = {Weight.LIGHT: 3, Weight.HEAVY: 1, Weight.NEW: 1}


class Guest:
    """Somebody who has a place, or waits for one, until told to leave."""

    def __init__(self, places: Places, client: str, socket: str | None = None, weight: Weight = Weight.LIGHT) -> None:
        self.client, self.socket, self.weight = client, socket, weight
        self.is_in = False
        self._end = asyncio.Event()
        self.task = asyncio.create_task(self._stay(places))

    async def _stay(self, places: Places) -> None:
        with contextlib.suppress(Full):
            async with places.place(self.client, self.socket, lambda: self.weight):
                self.is_in = True
                await self._end.wait()
        self.is_in = False

    async def leave(self) -> None:
        self._end.set()
        await self.task


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def enter(places: Places, *names: str) -> list[Guest]:
    """``a`` is a client, ``a1`` its socket 1."""
    guests = [Guest(places, name[0], name if name[1:] else None) for name in names]
    await settle()
    return guests


def inside(guests: list[Guest]) -> str:
    return " ".join(guest.socket or guest.client for guest in guests if guest.is_in)


async def drain(guests: list[Guest], places: Places) -> None:
    while guests:
        for guest in [guest for guest in guests if guest.is_in]:
            await guest.leave()
            guests.remove(guest)
        await settle()
    assert (places.running, places.waiting, places._clients) == (0, 0, {})


async def test_so_many_of_a_socket_of_a_client_and_in_all() -> None:
    places = Places(CROWD)
    guests = await enter(places, "a1", "a1", "a1", "a2", "a2", "b", "b")
    assert inside(guests) == "a1 a1 a2 b"
    assert (places.running, places.waiting) == (4, 3)
    await guests[0].leave()
    await settle()
    assert inside(guests) == "a1 a1 a2 b"  # its socket's next
    await guests[5].leave()
    await settle()
    assert inside(guests) == "a1 a1 a2 b"
    assert guests[6].is_in
    await drain([guest for guest in guests if not guest.task.done()], places)


async def test_clients_take_turns() -> None:
    places = Places(ONE)
    guests = await enter(places, *["a"] * 5, "b", "b", "c")
    order = []
    while left := [guest for guest in guests if not guest.task.done()]:
        (guest,) = [each for each in left if each.is_in]
        order.append(guest.client)
        await guest.leave()
        await settle()
    assert "".join(order) == "aabcabaa"


async def test_who_finds_no_place_to_wait_is_told_at_once() -> None:
    places = Places(CROWD)
    guests = await enter(places, *["a"] * 6)
    with pytest.raises(Full) as caught:
        await places.place("a").__aenter__()
    assert (caught.value.status, caught.value.code, caught.value.retry_after) == (429, "TOO_MANY_OPERATIONS", 1)
    assert "3 operations of this address" in str(caught.value)
    assert "raise waiting_operations_per_client under [server]" in str(caught.value)
    guests += await enter(places, *["b"] * 3, "c")
    assert (places.running, places.waiting) == (4, 6)
    with pytest.raises(Full) as caught:
        await places.place("d").__aenter__()
    assert (caught.value.status, caught.value.code, caught.value.retry_after) == (503, "OVERLOADED", 1)
    assert "6 operations wait already" in str(caught.value)
    assert "raise waiting_operations under [server]" in str(caught.value)
    assert (places.running, places.waiting) == (4, 6)
    await drain(guests, places)


async def test_who_gives_up_leaves_no_gap() -> None:
    places = Places(ONE)
    first, second, third = await enter(places, "a", "a", "b")
    second.task.cancel()
    await settle()
    assert (places.running, places.waiting) == (1, 1)
    third.task.cancel()
    await first.leave()  # at the moment when the other is gone and does not know
    await settle()
    assert (places.running, places.waiting, places._clients) == (0, 0, {})


async def test_who_gives_up_with_the_place_in_hand_gives_it_on() -> None:
    places = Places(ONE)
    first, second, third = await enter(places, "a", "a", "a")
    first._end.set()
    await asyncio.sleep(0)  # the place is given to the second, who does not know yet
    second.task.cancel()
    await settle()
    assert third.is_in
    await drain([third], places)


async def test_who_waits_is_weighed_again() -> None:
    places = Places(CROWD)
    guests = [Guest(places, "a", None, Weight.NEW) for _ in range(4)]
    await settle()
    assert [guest.is_in for guest in guests] == [True, False, False, False]
    for guest in guests[1:]:
        guest.weight = Weight.HEAVY
    guests[3].weight = Weight.LIGHT
    await guests[0].leave()
    await settle()
    assert [guest.is_in for guest in guests[1:]] == [True, False, True]
    await drain(guests[1:], places)


async def test_any_order_of_coming_and_going() -> None:
    chance = Random(1)
    places = Places(CROWD)
    guests: list[Guest] = []
    for _ in range(2_000):
        if chance.random() < 0.55:
            client = chance.choice("abc")
            socket = chance.choice([None, f"{client}1", f"{client}2"])
            guests.append(Guest(places, client, socket, chance.choice([*Weight, Weight.LIGHT])))
        elif guests:
            guest = chance.choice(guests)
            guests.remove(guest)
            if guest.is_in and chance.random() < 0.7:
                await guest.leave()
            else:
                guest.task.cancel()
        if chance.random() < 0.7:
            await settle()
            guests = [guest for guest in guests if not guest.task.done()]
            inside = [guest for guest in guests if guest.is_in]
            assert places.running == len(inside) <= 4
            assert places.waiting == len(guests) - len(inside)
            assert max(Counter(guest.client for guest in inside).values(), default=0) <= 3
            assert max(Counter(guest.socket for guest in inside if guest.socket).values(), default=0) <= 2
            of_weight = Counter((guest.client, guest.weight) for guest in inside)
            assert all(count <= MOST[weight] for (_, weight), count in of_weight.items())
            if places.waiting and len(inside) < 4:  # nobody waits who could be in
                for waiting in (guest for guest in guests if not guest.is_in):
                    own = [guest for guest in inside if guest.client == waiting.client]
                    same = [guest for guest in own if waiting.socket and guest.socket == waiting.socket]
                    assert (
                        len(own) == 3
                        or len(same) == 2
                        or of_weight[waiting.client, waiting.weight] == MOST[waiting.weight]
                    )
    await settle()
    await drain([guest for guest in guests if not guest.task.done()], places)
