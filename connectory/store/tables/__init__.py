"""The tables. One row per system, connector and job, whose ``id`` is the Relay global id, and the change log.

What an upstream said stands in the columns as it said it; what follows from the clock (staleness, the age of an
answer) is joined when read and never stored.
"""

from connectory.store.tables.connectors import CONDITIONS, CONNECTORS
from connectory.store.tables.jobs import JOB_ERRORS, JOB_FLOORS, JOB_SEGMENTS, JOBS
from connectory.store.tables.leases import LEASES
from connectory.store.tables.log import EVENTS, LOG_ENDS, LOG_HEAD, LOG_START
from connectory.store.tables.notices import DELIVERIES, NOTICES, NOTIFIER
from connectory.store.tables.systems import OUTAGES, SYSTEMS, UNWATCHED

__all__ = [
    "CONDITIONS",
    "CONNECTORS",
    "DELIVERIES",
    "EVENTS",
    "JOBS",
    "JOB_ERRORS",
    "JOB_FLOORS",
    "JOB_SEGMENTS",
    "LEASES",
    "LOG_ENDS",
    "LOG_HEAD",
    "LOG_START",
    "NOTICES",
    "NOTIFIER",
    "OUTAGES",
    "SYSTEMS",
    "UNWATCHED",
]
