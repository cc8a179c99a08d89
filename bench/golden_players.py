"""Connectors of which the script knows every move, one class for each kind of system."""

from abc import ABC, abstractmethod
from dataclasses import replace
from datetime import datetime

from sources.elastic.simulator.documents import Document
from sources.elastic.simulator.worker import Worker
from sources.elastic.simulator.world import ElasticWorld
from sources.lucidworks.simulator.crawls import DataSource
from sources.lucidworks.simulator.world import LucidworksWorld
from sources.onyx.simulator.pairs import SUCCESSFUL, Pair
from sources.onyx.simulator.world import BATCH, OnyxWorld

GOOD, BAD, FAULTY = "good", "bad", "faulty"
#: In Onyx's words.
_ENDS = {GOOD: "success", BAD: "failed", FAULTY: "completed_with_errors"}


class Player(ABC):
    """A connector of which the script starts the runs. Runs take about eight minutes."""

    kind: str
    id: str

    @abstractmethod
    def start(self) -> None: ...

    @abstractmethod
    def set_fault(self, fault: str | None) -> None:
        """What is wrong with its workers from now on, in the words of its world."""

    @abstractmethod
    def end_with(self, outcome: str) -> None:
        """How runs end that begin from now on: GOOD, BAD, or FAULTY, which is good but for some documents."""

    @property
    @abstractmethod
    def state(self) -> str:
        """``waiting``, ``running``, or else ``resting``."""

    @property
    @abstractmethod
    def failed(self) -> int:
        """Documents that failed so far in its newest run."""


class OnyxPlayer(Player):
    kind = "onyx"

    def __init__(self, world: OnyxWorld, pair: Pair) -> None:
        self.world, self.pair, self.id = world, pair, str(pair.id)

    def start(self) -> None:
        self.world.mark(self.pair, from_beginning=False)

    def set_fault(self, fault: str | None) -> None:
        self.pair.fault = fault

    def end_with(self, outcome: str) -> None:
        self.pair.profile = replace(self.pair.profile, ends={_ENDS[outcome]: 1})

    @property
    def state(self) -> str:
        attempt = self.pair.open_attempt
        return "resting" if attempt is None else "waiting" if attempt.status == "not_started" else "running"

    @property
    def failed(self) -> int:
        latest = self.pair.latest()
        return 0 if latest is None else len(latest.failures)

    def fail_after(self, batches: int) -> None:
        """Of two runs that fail alike between two polls the list of pairs tells as of one (onyx.md §3): it names no
        attempt and no time of one, so that nothing in it changes."""
        attempt = self.pair.open_attempt
        if attempt is not None:
            attempt.left = batches * BATCH

    @property
    def succeeded(self) -> bool:
        latest = self.pair.latest()
        return latest is not None and latest.status in SUCCESSFUL


class LucidworksPlayer(Player):
    kind = "lucidworks"

    def __init__(self, world: LucidworksWorld, source: DataSource) -> None:
        self.world, self.source, self.id = world, source, f"{source.collection}/{source.id}"

    def start(self) -> None:
        self.world.start(self.source)

    def set_fault(self, fault: str | None) -> None:
        self.source.fault = fault

    def end_with(self, outcome: str) -> None:
        ends = {"EXCEPTION" if outcome == BAD else "FINISHED": 1.0}
        losses = {"failed": 0.1} if outcome == FAULTY else {}
        self.source.profile = replace(self.source.profile, ends=ends, losses=losses)

    @property
    def state(self) -> str:
        crawl = self.source.crawl
        if crawl is None or not crawl.active:
            return "resting"
        return "waiting" if crawl.state == "STARTING" else "running"

    @property
    def failed(self) -> int:
        return 0 if self.source.crawl is None else self.source.crawl.counts["failed"]


class ElasticPlayer(Player):
    kind = "elastic"

    def __init__(self, world: ElasticWorld, worker: Worker, connector: Document) -> None:
        self.world, self.worker, self.connector, self.id = world, worker, connector, connector["id"]

    def start(self) -> None:
        self.world.create_job(self.connector, trigger="on_demand")

    def set_fault(self, fault: str | None) -> None:
        self.world.worker_faults.pop(self.id, None)
        if fault is not None:
            self.world.worker_faults[self.id] = fault

    def end_with(self, outcome: str) -> None:
        ending = "error" if outcome == BAD else "completed"
        self.worker.parts[self.id] = replace(self.worker.parts[self.id], endings=(ending,))

    @property
    def state(self) -> str:
        states = {job["status"] for job in self.world.open_jobs(self.id) if job["job_type"] != "access_control"}
        return "resting" if not states else "running" if states - {"pending"} else "waiting"

    @property
    def failed(self) -> int:
        return 0  # not counted

    @property
    def worker_seen_at(self) -> datetime:
        return datetime.fromisoformat(self.connector["last_seen"])
