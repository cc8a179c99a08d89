"""What moves in the simulated Feldera: endpoints, their counters, and the profile that decides how they go."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any

#: Error texts kept in each list of an endpoint (feldera.md §5).
KEPT_ERRORS = 100


@dataclass(frozen=True, slots=True)
class Profile:
    """How an endpoint goes. Chances are per second."""

    #: records that an input receives in a second, least and most
    rate: tuple[int, int] = (20, 90)
    #: records until the source says that there is no more; None: it never does
    size: int | None = None
    record_bytes: int = 364
    parse_errors: float = 0.0
    transport_errors: float = 0.0
    #: seconds from the start, and the error that ends it then
    fatal: tuple[int, str] | None = None
    #: it reports its health, and is unhealthy for 40 seconds of every 150
    moody: bool = False
    #: it tells how far its input has come
    frontier: bool = False
    #: it holds back checkpoints now and then
    barrier: bool = False
    tag: str | None = None
    complaint: str = "the record could not be read"


@dataclass(slots=True)
class ErrorText:
    at: datetime
    index: int
    tag: str | None
    message: str


@dataclass(eq=False, slots=True)
class Endpoint:
    """An endpoint of a pipeline; its counters are those of the present incarnation."""

    relation: str | None
    connector: str
    is_input: bool
    transport: str
    options: Mapping[str, Any] = field(default_factory=dict)
    profile: Profile = field(default_factory=Profile)
    #: paused by its configuration
    starts_paused: bool = False
    #: not configured: it came by HTTP, or tells the time
    ad_hoc: bool = False
    # counters of an input
    records: int = 0
    size_in_bytes: int = 0
    buffered: int = 0
    ended: bool = False
    paused: bool = False
    latency: int | None = None
    frontier: dict[str, Any] | None = None
    # counters of an output
    queued: int = 0
    seen_records: int = 0
    seen_steps: int = 0
    # of both
    record_errors: int = 0
    transport_errors: int = 0
    record_texts: list[ErrorText] = field(default_factory=list)
    transport_texts: list[ErrorText] = field(default_factory=list)
    fatal: str | None = None
    healthy: bool = True
    barrier: bool = False
    age: int = 0
    #: what is wrong with it: ``stuck``, so that the circuit takes nothing of it; ``barred``, so that it lets no
    #: checkpoint pass
    fault: str | None = None

    @property
    def name(self) -> str:
        return self.connector if self.relation is None else f"{self.relation}.{self.connector}"

    @property
    def errors(self) -> int:
        return self.record_errors + self.transport_errors

    def reset(self) -> None:
        """A new incarnation begins."""
        self.records = self.size_in_bytes = self.buffered = self.queued = self.seen_records = self.seen_steps = 0
        self.record_errors = self.transport_errors = self.age = 0
        self.record_texts, self.transport_texts = [], []
        self.ended = self.barrier = False
        self.fatal = self.frontier = self.latency = None
        self.healthy, self.paused = True, self.starts_paused

    def step(self, now: datetime, chance: Random) -> None:
        """A second in a running pipeline, apart from records."""
        self.age += 1
        profile = self.profile
        if self.fatal or self.ended or self.paused:
            return
        if profile.moody:
            self.healthy = self.age % 150 < 110
        self.barrier = self.fault == "barred" or (profile.barrier and self.age % 20 < 3)
        if profile.fatal and self.age >= profile.fatal[0]:
            self.fatal = profile.fatal[1]
            self.complain_of_transport(now, self.fatal)
        if chance.random() < profile.parse_errors:
            self.record_errors += 1
            _note(self.record_texts, now, self.record_errors, profile.tag, profile.complaint)
        if chance.random() < profile.transport_errors or (profile.moody and not self.healthy and self.age % 10 == 0):
            self.complain_of_transport(now, "error reading from the source, retrying")

    def complain_of_transport(self, now: datetime, message: str) -> None:
        self.transport_errors += 1
        _note(self.transport_texts, now, self.transport_errors, self.profile.tag, message)

    def receive(self, chance: Random) -> None:
        """What an input gets from its source in a second."""
        if self.fatal or self.ended or self.paused:
            return
        fresh = chance.randint(*self.profile.rate)
        if self.profile.size is not None:
            fresh = min(fresh, self.profile.size - self.records)
            self.ended = self.records + fresh >= self.profile.size
        self.records += fresh
        self.buffered += fresh
        self.size_in_bytes += fresh * self.profile.record_bytes

    def be_taken(self, most: int, now: datetime, latency: int) -> int:
        """The circuit takes at most so many of its buffered records; returns how many."""
        taken = 0 if self.fault == "stuck" else min(self.buffered, most)
        self.buffered -= taken
        if taken and self.profile.frontier:
            self.latency = latency
            moment = now.isoformat(timespec="microseconds").replace("+00:00", "Z")
            done = self.records - self.buffered
            metadata = {"offsets": [{"start": 0, "end": done}]} if self.transport == "kafka_input" else None
            self.frontier = dict.fromkeys(("ingested_at", "processed_at", "completed_at"), moment)
            self.frontier = {"metadata": metadata, **self.frontier}
        return taken

    def send(self, processed: int, steps: int, chance: Random) -> None:
        """An output is given what follows from ``processed`` input records, and sends some of its queue."""
        self.seen_records, self.seen_steps = self.seen_records + processed, steps
        self.queued += processed // 3 + (1 if processed else 0)
        if self.fatal or self.paused:
            return
        sent = min(self.queued, chance.randint(*self.profile.rate))
        self.queued -= sent
        self.records += sent
        self.size_in_bytes += sent * self.profile.record_bytes


def _note(texts: list[ErrorText], now: datetime, number: int, tag: str | None, message: str) -> None:
    texts.append(ErrorText(now, number - 1, tag, message))
    del texts[:-KEPT_ERRORS]
