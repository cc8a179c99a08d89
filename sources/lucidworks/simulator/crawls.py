"""What lives in the simulated Lucidworks: data sources, their crawls, and the profile that crawls have."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sources.simulation import lives

#: The states in which a crawl is at work.
ACTIVE = frozenset({"STARTING", "RUNNING", "FINISHING", "STOPPING", "ABORTING"})
#: Ended runs that are kept of a data source (lucidworks.md §8).
KEPT = 50
COUNTERS = (
    "new",
    "updated",
    "unchanged",
    "deleted",
    "failed",
    "access_denied",
    "filter_denied",
    "robots_denied",
    "not_found",
)


@dataclass(frozen=True, slots=True)
class Profile(lives.Profile):
    """How the crawls of a data source go: ``ends`` weighs their outcomes. Times are seconds."""

    #: documents that one crawl looks at, least and most
    documents: tuple[int, int] = (120, 400)
    #: documents in one step, and the seconds that it takes
    step: tuple[int, int] = (8, 24)
    pace: tuple[float, float] = (0.8, 2.4)
    #: seconds from the end of a crawl to the start of the next
    rest: tuple[float, float] = (60.0, 200.0)
    #: of what is not new or kept: counter → share of the documents
    losses: Mapping[str, float] = field(default_factory=dict)
    #: never counts updates or deletions (§4)
    stateless: bool = False


_DENIED = {"filter_denied": 0.04, "robots_denied": 0.02, "not_found": 0.01}
PROFILES: Mapping[str, Profile] = {
    "steady": Profile({"FINISHED": 1}),
    "large": Profile({"FINISHED": 1}, documents=(2000, 5000), losses=_DENIED, rest=(20.0, 60.0)),
    "careless": Profile({"FINISHED": 1}, losses={"failed": 0.03, **_DENIED}, rest=(20.0, 90.0)),
    "failing": Profile({"EXCEPTION": 12, "FINISHED": 1}, documents=(20, 90), rest=(40.0, 120.0)),
    "moody": Profile({"FINISHED": 4, "STOPPED": 2, "EXCEPTION": 1, "ABORTED": 1}, losses={"access_denied": 0.02}),
    "hurried": Profile({"FINISHED": 1}, documents=(5, 30), rest=(8.0, 30.0)),
    "stalling": Profile({"stalled": 1, "FINISHED": 2}, documents=(60, 200)),
    "stateless": Profile({"FINISHED": 5, "STOPPED": 1}, losses={"access_denied": 0.01}, stateless=True),
    "empty": Profile({"FINISHED": 1}, documents=(1, 1), step=(1, 1), losses={"access_denied": 1.0}),
}


@dataclass(eq=False, slots=True)
class Crawl:
    """One run of a data source. ``number`` is its running number in the world."""

    number: int
    started: datetime
    state: str = "STARTING"
    stopped: datetime | None = None
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))
    message: str | None = None
    exception: list[dict[str, Any]] = field(default_factory=list)
    #: documents still to be looked at, and what it will come to
    left: int = 0
    outcome: str = "FINISHED"

    @property
    def active(self) -> bool:
        return self.state in ACTIVE

    @property
    def total(self) -> int:
        """The sum of all other counters: no expected total (§4)."""
        return sum(self.counts.values())


@dataclass(eq=False, slots=True)
class DataSource:
    """``key`` is its id in Fusion; ``settings`` are the attributes that its type has besides the common ones."""

    id: int
    key: str
    collection: str
    name: str
    type: str
    crawler: str
    category: str
    created: datetime
    settings: dict[str, Any] = field(default_factory=dict)
    profile: Profile = PROFILES["steady"]
    #: crawls start by themselves
    scheduled: bool = True
    schedule: dict[str, Any] | None = None
    #: what is wrong with its crawler: ``busy``, so that no crawl gets beyond its start; ``stuck``, so that none goes on
    fault: str | None = None
    crawl: Crawl | None = None
    #: ended runs, oldest first
    history: list[Crawl] = field(default_factory=list)

    @property
    def crawls(self) -> list[Crawl]:
        """All that is served, oldest first."""
        running = [self.crawl] if self.crawl is not None and self.crawl.active else []
        return self.history + running

    def keep(self, crawl: Crawl) -> None:
        self.history = [*self.history, crawl][-KEPT:]


def whole_seconds(moment: datetime) -> datetime:
    return moment - timedelta(microseconds=moment.microsecond)
