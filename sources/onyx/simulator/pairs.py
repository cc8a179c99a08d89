"""What lives in the simulated Onyx: pairs, their attempts, and the profile that their runs have."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sources.simulation import lives

#: Failures, or validation errors, in a row that change what is said of the pair.
IN_A_ROW = 5
#: Attempts older than this are pruned beyond the newest ten of their pair (onyx.md §5).
KEPT_FOR, KEPT_AT_LEAST = timedelta(days=8), 10

OPEN = frozenset({"not_started", "in_progress"})
SUCCESSFUL = frozenset({"success", "completed_with_errors"})
REJECTED = "ConnectorValidationError:The source no longer accepts the stored credential"


@dataclass(frozen=True, slots=True)
class Profile(lives.Profile):
    """How the runs of a pair go: ``ends`` weighs their outcomes. Times are seconds."""

    #: documents that a refresh touches, least and most; a first run reads ``first``
    documents: tuple[int, int] = (8, 120)
    first: int = 320
    pace: tuple[float, float] = (1.5, 5.0)
    queue: tuple[float, float] = (1.0, 9.0)


PROFILES: Mapping[str, Profile] = {
    "steady": Profile({"success": 1}),
    "large": Profile({"success": 1}, documents=(400, 900), first=6400, pace=(3.0, 8.0)),
    "careless": Profile({"completed_with_errors": 3, "success": 1}),
    "failing": Profile({"failed": 12, "success": 1}),
    "moody": Profile({"success": 5, "failed": 2, "completed_with_errors": 1, "interrupted": 1}),
    "restless": Profile({"interrupted": 1, "success": 1}, documents=(60, 300)),
    "stalling": Profile({"stalled": 1, "success": 2}, documents=(60, 200)),
    "rejected": Profile({"rejected": 1}),
    "waiting": Profile({"success": 1}, queue=(3000.0, 5000.0)),
}


@dataclass(eq=False, slots=True)
class Failure:
    """An error row: one document that a run could not index."""

    id: int
    document: str
    message: str
    created: datetime
    resolved: bool = False


@dataclass(eq=False, slots=True)
class Attempt:
    """One run of a pair. ``future`` marks attempts of the search settings that are being built."""

    id: int
    pair: int
    updated: datetime
    status: str = "not_started"
    from_beginning: bool = False
    started: datetime | None = None
    new_docs: int = 0
    total_docs: int = 0
    error_msg: str | None = None
    trace: str | None = None
    poll_start: datetime | None = None
    poll_end: datetime | None = None
    failures: list[Failure] = field(default_factory=list)
    future: bool = False
    #: documents still to be read
    left: int = 0
    outcome: str = "success"

    @property
    def open(self) -> bool:
        return self.status in OPEN


@dataclass(eq=False, slots=True)
class Pair:
    """A connector joined with a credential. ``refresh`` and ``prune`` are in seconds; without refresh it runs once."""

    id: int
    name: str | None
    source: str
    access_type: str
    status: str
    connector_id: int
    credential_id: int
    created: datetime
    profile: Profile = PROFILES["steady"]
    refresh: int | None = 300
    prune: int = 2592000
    docs: int = 0
    repeated_error: bool = False
    editable: bool = True
    permissions: dict[str, bool] | None = field(
        default_factory=lambda: dict.fromkeys(("edit", "delete", "publish"), True)
    )
    hidden: bool = False
    last_pruned: datetime | None = None
    pruning: bool = False
    #: what run-once left for the next scheduler pass: whether to read from the beginning
    marked: bool | None = None
    #: what is wrong with its workers: ``busy``, so that nothing queued is picked up; ``stuck``, so that they live and
    #: no document passes; ``gone``, so that the monitor fails the run in the end
    fault: str | None = None
    #: oldest first
    attempts: list[Attempt] = field(default_factory=list)

    def latest(self, *, future: bool = False, among: Callable[[Attempt], bool] = lambda _: True) -> Attempt | None:
        return next((a for a in reversed(self.attempts) if a.future == future and among(a)), None)

    @property
    def success(self) -> Attempt | None:
        return self.latest(among=lambda attempt: attempt.status in SUCCESSFUL)

    @property
    def open_attempt(self) -> Attempt | None:
        latest = self.latest()  # none is queued while another one is open
        return latest if latest is not None and latest.open else None


@dataclass(frozen=True, slots=True)
class Federated:
    """A connector that is queried live."""

    id: int
    source: str = "federated_slack"
    name: str = "Federated Slack"


def judge(pair: Pair) -> None:
    """Set the flag of repeated errors, and INVALID, from the last finished attempts (onyx.md §4, §6)."""
    finished = [attempt for attempt in reversed(pair.attempts[-50:]) if not attempt.open and not attempt.future]
    counting = [attempt for attempt in finished if attempt.status not in ("canceled", "interrupted")]
    enough = 1 if pair.refresh is None else IN_A_ROW
    if len(counting) >= enough and all(attempt.status == "failed" for attempt in counting[:enough]):
        pair.repeated_error = True
    last = finished[:IN_A_ROW]
    if len(last) == IN_A_ROW and all(
        (attempt.error_msg or "").startswith("ConnectorValidationError:") for attempt in last
    ):
        pair.status = "INVALID"


def kept(attempts: list[Attempt], now: datetime) -> list[Attempt]:
    """What the server keeps of a pair's attempts (oldest first)."""
    old = attempts[:-KEPT_AT_LEAST]
    return [attempt for attempt in old if now - attempt.updated <= KEPT_FOR] + attempts[-KEPT_AT_LEAST:]
