"""What Prometheus reads: one registry per application, so that two in one process do not mix."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Histogram, Info, exposition

from connectory import __version__


class Outcome(StrEnum):
    """How an operation ended."""

    OK = "ok"
    #: not GraphQL over HTTP, or refused before execution: syntax, validation, variables
    REJECTED = "rejected"
    #: some fields failed by errors that were meant for the client
    PARTIAL = "partial"
    #: something unexpected happened
    INTERNAL = "internal"
    #: the client went away
    CANCELED = "canceled"


class Metrics:
    """The gauges and counters of one application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        Info("connectory_build", "The version that runs.", registry=self.registry).info({"version": __version__})
        self.operations = Counter(
            "connectory_graphql_operations", "GraphQL operations by outcome.", ["outcome"], registry=self.registry
        )
        self.seconds = Histogram(
            "connectory_graphql_operation_seconds",
            "Time from request to answer.",
            ["outcome"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self.registry,
        )
        for outcome in Outcome:
            self.operations.labels(outcome)

    @contextmanager
    def operation(self) -> Iterator["Measured"]:
        """Count and time one operation by the outcome that its block sets."""
        measured, start = Measured(), perf_counter()
        try:
            yield measured
        finally:
            self.operations.labels(measured.outcome).inc()
            self.seconds.labels(measured.outcome).observe(perf_counter() - start)

    def page(self, accept: str | None) -> tuple[bytes, str]:
        """All of it as text, and the content type, in the format that the scraper prefers."""
        encode, content_type = exposition.choose_encoder(accept or "")
        return encode(self.registry), content_type


class Measured:
    """One operation while it runs; what ends without a word was canceled."""

    outcome = Outcome.CANCELED
