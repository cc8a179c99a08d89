"""How a lease is lost without its holder's knowledge. All that the walk knows of leases stands here."""

from sqlalchemy import select, update

from connectory.store import Store
from connectory.store.leases.rows import lease_of
from connectory.store.tables import LEASES

#: Seconds after which leases expire by themselves: nothing of that happens within a walk.
NEVER = 36_000.0


async def expire_leases(store: Store) -> None:
    """As if nobody had renewed them: whoever asks is given them, and who had them has not been told."""
    async with store.write() as connection:
        await connection.execute(update(LEASES).values(expires_at=LEASES.c.renewed_at))


async def is_polled_by(process: Store, store: Store, system: str) -> bool:
    """Whether it is this process that has the lease, by what the store says."""
    held = process.leases.held(lease_of(system))
    async with store.read() as connection:
        row = (await connection.execute(select(LEASES).where(LEASES.c.name == lease_of(system)))).first()
    return held is not None and row is not None and (row.holder, row.fence) == (process.leases.own.id, held.fence)
