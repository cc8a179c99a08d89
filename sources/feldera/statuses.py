"""Feldera has no status word of a connector: it follows from its pipeline's word and its own flags (feldera.md §8)."""

from collections.abc import Mapping
from dataclasses import dataclass

from connectory.model import ConnectorStatus, JobStatus

#: Words of a pipeline whose connectors are open (feldera.md §7).
AT_WORK = frozenset({"Running", "Paused", "Bootstrapping", "ConcurrentBootstrapping", "Synchronizing", "Replaying"})
#: Words under which no process runs: whatever ran in it has ended.
ENDED = frozenset({"Stopped", "Stopping", "Suspended", "Provisioning"})
#: Words under which the stats route answers 503 for certain, so that nobody asks it.
SILENT = ENDED | {"Initializing", "AwaitingApproval", "Unavailable"}

#: What a connector is while its pipeline is not at work.
RESTING: Mapping[str, ConnectorStatus] = {
    "Stopped": ConnectorStatus.INACTIVE,
    "Stopping": ConnectorStatus.INACTIVE,
    "Suspended": ConnectorStatus.INACTIVE,
    "Standby": ConnectorStatus.INACTIVE,
    "Provisioning": ConnectorStatus.SCHEDULED,
    "Initializing": ConnectorStatus.SCHEDULED,
    "AwaitingApproval": ConnectorStatus.SCHEDULED,
    "Coordination": ConnectorStatus.SCHEDULED,
    "Unavailable": ConnectorStatus.UNKNOWN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """What a live endpoint shows: the pipeline's word and the state of its process, and the endpoint's own flags."""

    word: str | None
    state: str | None = None
    fatal: bool = False
    #: the source said that there is no more, and everything was processed
    finished: bool = False
    paused: bool = False
    #: errors were counted
    erred: bool = False

    @property
    def held(self) -> bool:
        """Whether the pipeline holds it; the process itself knows sooner than the list."""
        return (self.state if self.state in ("Paused", "Running") else self.word) == "Paused"


def live_status(signs: Signs) -> ConnectorStatus:
    """Of a connector whose counters were read: the first rule that fits."""
    if signs.fatal:
        return ConnectorStatus.ERROR
    if signs.finished:
        return ConnectorStatus.ACTIVE
    if signs.paused or signs.held:
        return ConnectorStatus.PAUSED
    if signs.state == "Terminated":
        return ConnectorStatus.INACTIVE
    if signs.word in AT_WORK:
        return ConnectorStatus.ACTIVE
    return RESTING.get(signs.word or "", ConnectorStatus.UNKNOWN)


def resting_status(word: str | None, *, failed: bool) -> ConnectorStatus:
    """Of a connector without counters; ``failed`` when the pipeline has a deployment error. A pipeline that should
    answer and does not leaves its connectors UNKNOWN."""
    if failed and word in ENDED:
        return ConnectorStatus.ERROR
    return RESTING.get(word or "", ConnectorStatus.UNKNOWN)


def job_status(signs: Signs) -> JobStatus:
    """Of a run whose counters were read."""
    if signs.fatal:
        return JobStatus.FAILED
    if signs.finished:
        return JobStatus.SUCCEEDED_WITH_ERRORS if signs.erred else JobStatus.SUCCEEDED
    if signs.state == "Terminated":
        return JobStatus.CANCELED
    if signs.paused or signs.held or signs.word == "Standby":
        return JobStatus.SUSPENDED
    return JobStatus.RUNNING if signs.word in AT_WORK or signs.word in RESTING else JobStatus.UNKNOWN
