"""A gateway that sent notices and was replaced begins and judges no delivery more; what was accepted stays so."""

import asyncio
from random import Random

import pytest
from sqlalchemy import update

from connectory.notices.deliverer import Deliverer
from connectory.observability.metrics import Deliveries
from connectory.store import Store
from connectory.store.leases.rows import NOTICES_LEASE, Lease, LeaseLost
from connectory.store.tables import NOTIFIER
from tests.notices.receiver import Receiver
from tests.notices.scene import deliveries, notices
from tests.notices.test_delivery import FAST, Stand
from tests.wait import PATIENCE, until


async def waiting(store: Store, receiver: Receiver) -> tuple[Stand, Deliverer]:
    """One delivery waits, and somebody is about to send it."""
    stand = await Stand.of(store)
    await stand.breaks(1)
    stand.receivers = [receiver.settings()]
    await stand.notifier().look()
    deliverer = Deliverer(
        store, stand.receivers[0], Deliveries(), lease=Lease(NOTICES_LEASE, 0), clock=lambda: stand.now,
        chance=Random(1), backoff=FAST,
    )  # fmt: skip
    return stand, deliverer


async def replace(store: Store) -> None:
    async with store.write() as connection:
        await connection.execute(update(NOTIFIER).values(fence=1))


async def test_who_was_replaced_sends_nothing_and_makes_nothing(store: Store) -> None:
    receiver = Receiver()
    stand, deliverer = await waiting(store, receiver)
    await replace(store)
    async with receiver.serving():
        await asyncio.wait_for(deliverer.run(), PATIENCE)
    assert receiver.got == []
    assert [row["attempts"] for row in await deliveries(store)] == [0]
    await stand.mends(2)
    with pytest.raises(LeaseLost):
        await stand.notifier().look()
    assert [row["recovered_at"] for row in await notices(store)] == [None]


@pytest.mark.parametrize(("status", "is_delivered"), [(200, True), (503, False)])
async def test_of_an_attempt_under_way_only_that_it_was_accepted_is_stored(
    store: Store, status: int, is_delivered: bool
) -> None:
    receiver = Receiver(status)
    _, deliverer = await waiting(store, receiver)
    receiver.open.clear()

    async def begun() -> bool:
        return [row["attempts"] for row in await deliveries(store)] == [1]

    async with receiver.serving():
        running = asyncio.create_task(deliverer.run())
        await until(begun)
        before = await deliveries(store)
        await replace(store)
        receiver.open.set()
        async with asyncio.timeout(PATIENCE):
            if is_delivered:
                deliverer.wake()
                await until(lambda: delivered(store))
                running.cancel()
                await asyncio.wait([running])
            else:
                await running
    if not is_delivered:
        assert await deliveries(store) == before


async def delivered(store: Store) -> bool:
    return all(row["delivered_at"] for row in await deliveries(store))
