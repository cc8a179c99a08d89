"""What is remembered of a system between two polls."""

from dataclasses import dataclass, field
from datetime import datetime

from connectory.model.facts import ConnectorFact


@dataclass(slots=True)
class KnownConnector:
    """What the engine remembers of a connector between polls."""

    #: of the fact last stored; None when something of it is still owed
    fingerprint: str | None = None
    #: external id of the newest job that moves content
    latest_job: str | None = None
    history_read: bool = False
    #: consecutive complete answers without it
    missed_polls: int = 0
    #: last answer lacked it, whether that answer was complete or not
    is_missing: bool = False
    is_removed: bool = False


@dataclass(slots=True)
class Known:
    """What the engine remembers of a system: enough for an adapter to ask only for what is new.

    Adapters read it and never write it.
    """

    connectors: dict[str, KnownConnector] = field(default_factory=dict)
    #: external id of each job not known to have ended → its connector's external id
    open_jobs: dict[str, str | None] = field(default_factory=dict)
    #: those of the open jobs that are at work
    running_jobs: set[str] = field(default_factory=set)
    #: order_at of the newest job stored
    newest_job_at: datetime | None = None

    def unchanged(self, fact: ConnectorFact) -> bool:
        """Whether the fact says what the one last stored said, and nothing of it is owed."""
        known = self.connectors.get(fact.external_id)
        return known is not None and known.fingerprint == fact.fingerprint
