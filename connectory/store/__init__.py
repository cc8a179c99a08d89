"""What the gateway remembers: tables, migrations, reads and writes, on SQLite and on PostgreSQL."""

from connectory.store.database import Store, StoreError, StoreTooNew, StoreUnreachable, upgrade

__all__ = ["Store", "StoreError", "StoreTooNew", "StoreUnreachable", "upgrade"]
