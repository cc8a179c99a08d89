"""A simulated Lucidworks in motion: what its crawlers do with data sources, as lucidworks.md §9 tells it.

``population.py`` says who lives in it; ``views.py`` and ``fusion_views.py`` say how it is shown.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from sources.lucidworks.simulator.crawls import Crawl, DataSource, whole_seconds
from sources.simulation import World

#: Seconds that a stalled crawl stands still before somebody aborts it.
STALLED = 900.0
#: What a fatal error said, and the text below it.
FAILURES = (
    ("java.net.ConnectException: Connection refused", "Connection refused"),
    ("java.net.UnknownHostException: files.example.com", "files.example.com"),
    ("java.sql.SQLException: Access denied for the configured user", "Access denied for the configured user"),
)


class LucidworksWorld(World):
    """All data sources by id, in their collections. Empty until populated."""

    def __init__(self, *, seed: int, start: datetime) -> None:
        super().__init__(seed=seed, start=start)
        self.collections: list[str] = []
        self.sources: dict[int, DataSource] = {}
        self._last_source = 5
        self._last_crawl = 0

    def members(self, collection: str) -> Iterator[DataSource]:
        return (source for source in self.sources.values() if source.collection == collection)

    def next_source(self) -> int:
        """An id that no data source ever had."""
        self._last_source += 1
        return self._last_source

    def next_crawl(self, started: datetime) -> Crawl:
        self._last_crawl += 1
        return Crawl(self._last_crawl, started)

    def add(self, source: DataSource) -> DataSource:
        self.sources[source.id] = source
        return source

    # ---- what people do

    def start(self, source: DataSource) -> bool:
        """Whether a crawl was started; not while one is at work."""
        if source.crawl is not None and source.crawl.active:
            return False
        started = self.now
        if source.crawl is not None:  # two crawls never begin in one second
            started = max(started, whole_seconds(source.crawl.started) + timedelta(seconds=1))
        profile = source.profile
        crawl = self.next_crawl(started)
        crawl.left = self.random.randint(*profile.documents)
        crawl.outcome = profile.end(self.random)
        if crawl.outcome != "FINISHED":
            crawl.left = int(crawl.left * self.random.uniform(0.1, 0.7))
        source.crawl = crawl
        self.after(self.random.uniform(1.0, 3.0), lambda: self._run(source, crawl))
        return True

    def begin(self, source: DataSource) -> None:
        """What a schedule does: start, if it is there and at rest."""
        if source.id in self.sources:
            self.start(source)

    def stop(self, source: DataSource, *, abort: bool = False) -> None:
        """Nothing happens to a data source that does not crawl."""
        crawl = source.crawl
        if crawl is None or not crawl.active or crawl.state == "ABORTING":
            return
        crawl.state = "ABORTING" if abort else "STOPPING"
        self.after(self.random.uniform(1.0, 3.0), lambda: self._halt(source, crawl))

    def delete(self, source: DataSource) -> None:
        self.sources.pop(source.id, None)

    # ---- what the crawlers do

    def _run(self, source: DataSource, crawl: Crawl) -> None:
        if crawl.state == "STARTING" and source.fault == "busy":
            self.after(5.0, lambda: self._run(source, crawl))
        elif crawl.state == "STARTING":
            crawl.state = "RUNNING"
            self.step_later(source, crawl)

    def step_later(self, source: DataSource, crawl: Crawl) -> None:
        self.after(self.random.uniform(*source.profile.pace), lambda: self._step(source, crawl))

    def _step(self, source: DataSource, crawl: Crawl) -> None:
        """Some documents; or, when none is left, what the crawl comes to."""
        if crawl.state != "RUNNING":
            return
        if source.fault == "stuck":
            self.step_later(source, crawl)
        elif crawl.left > 0:
            self.look_at(source, crawl, min(crawl.left, self.random.randint(*source.profile.step)))
            self.step_later(source, crawl)
        elif crawl.outcome == "FINISHED":
            crawl.state = "FINISHING"
            self.after(self.random.uniform(1.0, 3.0), lambda: self._end(source, crawl, "FINISHED"))
        elif crawl.outcome == "EXCEPTION":
            self._fail(source, crawl)
        elif crawl.outcome == "stalled":
            self.after(STALLED, lambda: self.stop(source, abort=True))
        else:
            self.stop(source, abort=crawl.outcome == "ABORTED")

    def look_at(self, source: DataSource, crawl: Crawl, documents: int) -> None:
        """Count so many more documents. The first crawl finds everything new, later ones find most of it unchanged."""
        crawl.left -= documents
        first = not source.history or source.profile.stateless
        for _ in range(documents):
            crawl.counts[self._fate(source, first)] += 1

    def have_looked_at(self, source: DataSource, crawl: Crawl, documents: int) -> None:
        """The same for a crawl of the past, of which every document need not be thrown for."""
        sample = min(documents, 60)
        self.look_at(source, crawl, sample)
        crawl.counts = {counter: number * documents // max(sample, 1) for counter, number in crawl.counts.items()}

    def _fate(self, source: DataSource, first: bool) -> str:
        chance = self.random.random()
        for counter, share in source.profile.losses.items():
            chance -= share
            if chance < 0:
                return counter
        if first:
            return "new"
        return self.random.choices(("unchanged", "updated", "new", "deleted"), weights=(90, 5, 3, 1))[0]

    def _fail(self, source: DataSource, crawl: Crawl) -> None:
        message, text = self.random.choice(FAILURES)
        crawl.counts["failed"] += 1
        crawl.message = message
        stack = [message, "\tat example.crawl.Fetcher.fetch(Fetcher.java:118)"]
        crawl.exception = [{"message": text, "stack": stack}, {"message": "Caused by: timed out", "stack": []}]
        self._end(source, crawl, "EXCEPTION")

    def _halt(self, source: DataSource, crawl: Crawl) -> None:
        if crawl.active:
            self._end(source, crawl, "ABORTED" if crawl.state == "ABORTING" else "STOPPED")

    def _end(self, source: DataSource, crawl: Crawl, state: str) -> None:
        if not crawl.active or (crawl.state in ("STOPPING", "ABORTING") and state == "FINISHED"):
            return
        crawl.state, crawl.stopped = state, max(self.now, crawl.started)
        source.keep(crawl)
        if source.scheduled:
            self.after(self.random.uniform(*source.profile.rest), lambda: self.begin(source))
