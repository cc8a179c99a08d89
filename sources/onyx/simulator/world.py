"""A simulated Onyx in motion: what its workers do with cc-pairs, pass by pass, as onyx.md §6 tells it.

``population.py`` says who lives in it; ``listing.py`` and ``views.py`` say how it is shown.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime

from sources.onyx.simulator.pairs import REJECTED, SUCCESSFUL, Attempt, Failure, Federated, Pair, judge, kept
from sources.simulation import World

#: Seconds between two scheduler passes, and between two monitor passes (onyx.md §6).
PASS = 15.0
#: Documents in a batch.
BATCH = 16
#: Seconds without a heartbeat after which the monitor fails a run (onyx.md §4).
HEARTBEAT = 1800
#: Faults of a pair's workers with which no run goes on.
_STANDING = frozenset({"stuck", "gone"})
RUNNABLE = frozenset({"SCHEDULED", "INITIAL_INDEXING", "ACTIVE"})

#: What the connector's exception said → the last line of its trace.
FAILURES: Mapping[str, str] = {
    "401 Client Error: Unauthorized for url: https://api.example.com/v2/items": "HTTPError: 401 Client Error",
    "The source closed the connection after 3 attempts": "ConnectionError: closed by peer",
    "Rate limit of the source exceeded, gave up after 5 retries": "RateLimitError: 429",
}


class OnyxWorld(World):
    """All cc-pairs by id, federated connectors, and the passes that move them. Empty until populated."""

    def __init__(self, *, seed: int, start: datetime) -> None:
        super().__init__(seed=seed, start=start)
        self.pairs: dict[int, Pair] = {}
        self.federated: list[Federated] = []
        self._last_attempt = self._last_failure = self._last_pair = 0
        self.after(PASS, self._schedule)
        self.after(PASS / 2, self._monitor)

    @property
    def visible(self) -> Iterator[Pair]:
        return (pair for pair in self.pairs.values() if not pair.hidden)

    @property
    def attempts(self) -> dict[int, Attempt]:
        """Every attempt that the API serves, by id."""
        return {a.id: a for pair in self.visible for a in pair.attempts if not a.future}

    def next_pair(self) -> int:
        """A cc_pair_id that no pair ever had."""
        return self._last_pair + 1

    def add_pair(self, pair: Pair) -> Pair:
        self.pairs[pair.id] = pair
        self._last_pair = max(self._last_pair, pair.id)
        return pair

    def add_attempt(self, pair: Pair, **values: object) -> Attempt:
        self._last_attempt += 1
        attempt = Attempt(id=self._last_attempt, pair=pair.id, updated=self.now)
        for key, value in values.items():
            setattr(attempt, key, value)
        pair.attempts.append(attempt)
        return attempt

    def add_failure(self, attempt: Attempt) -> Failure:
        self._last_failure += 1
        document = f"https://content.example.com/{attempt.pair}/{self.random.randrange(10_000)}"
        failure = Failure(self._last_failure, document, "Document exceeded the maximum size", attempt.updated)
        attempt.failures.append(failure)
        return failure

    # ---- what people do

    def pause(self, pair: Pair) -> None:
        """PAUSED at once; what runs is canceled a little later."""
        pair.status = "PAUSED"
        self.after(3, lambda: self._cancel(pair))

    def resume(self, pair: Pair) -> None:
        pair.status = "ACTIVE"

    def delete(self, pair: Pair) -> None:
        """DELETING at once, queued attempts canceled; the pair disappears when clean-up ends."""
        pair.status = "DELETING"
        attempt = pair.open_attempt
        if attempt is not None and attempt.status == "not_started":
            self._cancel(pair)
        self.after(3, lambda: self._cancel(pair))
        self.after(self.random.uniform(40, 90), lambda: self._vanish(pair))

    def prune(self, pair: Pair, seconds: float) -> None:
        """Look for documents that the source no longer has, for so long."""

        def close() -> None:
            pair.pruning, pair.last_pruned = False, self.now

        pair.pruning = True
        self.after(seconds, close)

    def mark(self, pair: Pair, *, from_beginning: bool) -> bool:
        """run-once: whether the pair was marked; one with a queued or running attempt is not."""
        if pair.open_attempt is not None:
            return False
        pair.marked = from_beginning
        return True

    def _cancel(self, pair: Pair) -> None:
        attempt = pair.open_attempt
        if attempt is not None:
            self._end(pair, attempt, "canceled", "Unknown")

    def _vanish(self, pair: Pair) -> None:
        self.pairs.pop(pair.id, None)

    # ---- what the scheduler does

    def _schedule(self) -> None:
        self.after(PASS, self._schedule)
        for pair in list(self.visible):
            if pair.status in RUNNABLE and pair.open_attempt is None and self._due(pair):
                self._queue(pair)

    def _due(self, pair: Pair) -> bool:
        latest = pair.latest()
        if latest is None or pair.marked is not None or latest.status == "interrupted":
            return True
        return pair.refresh is not None and (self.now - latest.updated).total_seconds() >= pair.refresh

    def _queue(self, pair: Pair) -> None:
        attempt = self.add_attempt(pair, from_beginning=pair.success is None or bool(pair.marked))
        pair.marked = None
        pair.attempts = kept(pair.attempts, self.now)
        self.after(self.random.uniform(*pair.profile.queue), lambda: self._pick_up(pair, attempt))

    # ---- what the workers do

    def _pick_up(self, pair: Pair, attempt: Attempt) -> None:
        if attempt.status == "not_started" and pair.fault in ("busy", "gone"):
            self.after(PASS, lambda: self._pick_up(pair, attempt))
        elif attempt.status == "not_started":
            self.begin(pair, attempt)

    def begin(self, pair: Pair, attempt: Attempt) -> None:
        profile = pair.profile
        attempt.status, attempt.started, attempt.updated = "in_progress", self.now, self.now
        before = pair.success
        attempt.poll_end = self.now
        attempt.poll_start = (
            before.started if before and not attempt.from_beginning else datetime.fromtimestamp(0, self.now.tzinfo)
        )
        attempt.left = profile.first if attempt.from_beginning else self.random.randint(*profile.documents)
        attempt.outcome = profile.end(self.random)
        if attempt.outcome not in SUCCESSFUL:
            attempt.left = min(attempt.left, BATCH * self.random.randint(0, 6))
        self.step_later(pair, attempt)

    def step_later(self, pair: Pair, attempt: Attempt) -> None:
        self.after(self.random.uniform(*pair.profile.pace), lambda: self._step(pair, attempt))

    def _step(self, pair: Pair, attempt: Attempt) -> None:
        """One batch; or, when none is left, what the run comes to. Success waits for the monitor."""
        if attempt.status != "in_progress":
            return
        if pair.fault in _STANDING:
            attempt.updated = self.now if pair.fault == "stuck" else attempt.updated
            self.step_later(pair, attempt)
        elif attempt.left > 0:
            self._batch(pair, attempt)
        elif attempt.outcome == "failed":
            message = self.random.choice(list(FAILURES))
            attempt.trace = f'Traceback (most recent call last):\n  File "run.py", line 42, in run\n{FAILURES[message]}'
            self._end(pair, attempt, "failed", message)
        elif attempt.outcome == "interrupted":
            self._end(pair, attempt, "interrupted", "The worker went away for a deploy; the run resumes by itself")
        elif attempt.outcome == "rejected":
            self._end(pair, attempt, "canceled", REJECTED)

    def _batch(self, pair: Pair, attempt: Attempt) -> None:
        size = min(BATCH, attempt.left)
        attempt.left -= size
        attempt.total_docs += size
        attempt.updated = self.now
        new = size if attempt.from_beginning else self.random.randint(0, size // 3)
        if attempt.outcome == "completed_with_errors" and (not attempt.failures or self.random.random() < 0.1):
            self.add_failure(attempt)
            new = max(0, new - 1)
        attempt.new_docs += new
        pair.docs += new
        self.step_later(pair, attempt)

    # ---- what the monitor does

    def _monitor(self) -> None:
        self.after(PASS, self._monitor)
        for pair in list(self.visible):
            attempt = pair.open_attempt
            if attempt is None or attempt.status != "in_progress":
                continue
            if pair.status == "SCHEDULED":
                pair.status = "INITIAL_INDEXING"
            if attempt.left == 0 and attempt.outcome in SUCCESSFUL and pair.fault not in _STANDING:
                self._end(pair, attempt, "completed_with_errors" if attempt.failures else "success")
            elif (self.now - attempt.updated).total_seconds() > HEARTBEAT:
                self._end(pair, attempt, "failed", f"No heartbeat received for {HEARTBEAT} seconds")

    def _end(self, pair: Pair, attempt: Attempt, status: str, message: str | None = None) -> None:
        attempt.status, attempt.error_msg, attempt.updated = status, message, self.now
        if status in SUCCESSFUL:
            pair.repeated_error = False
            if pair.status in ("SCHEDULED", "INITIAL_INDEXING"):
                pair.status = "ACTIVE"
        else:
            judge(pair)
