"""Reading what a running pipeline tells of an endpoint: an entry of its counters (feldera.md §4, §5).

A wrong value costs itself alone: it is left out, and a Problem names it. Only an endpoint without a name is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from connectory.model import JsonObject, Problem
from sources.feldera.pipelines import Pipeline, Program, Run, source_of, split_name
from sources.feldera.redaction import extra, redacted, unknown, without_secrets
from sources.feldera.statuses import Signs
from sources.feldera.values import error_texts
from sources.reading import LenientReader, count, flag, instant, json_object, mismatches, text

#: Metrics that count (feldera.md §4, §5); what else is sent under ``metrics`` is kept as it is.
COUNTERS = {
    True: frozenset(
        {
            "buffered_bytes",
            "buffered_records",
            "num_parse_errors",
            "num_transport_errors",
            "processing_latency_p99_micros",
            "total_bytes",
            "total_records",
        }
    ),
    False: frozenset(
        {
            "batch_records_written",
            "buffered_batches",
            "buffered_records",
            "memory",
            "num_encode_errors",
            "num_transport_errors",
            "queued_batches",
            "queued_records",
            "total_processed_input_records",
            "total_processed_steps",
            "transmitted_bytes",
            "transmitted_records",
        }
    ),
}
#: The list of texts of records that failed, and its counter.
RECORD_ERRORS = {True: ("parse_errors", "num_parse_errors"), False: ("encode_errors", "num_encode_errors")}
_KEYS = frozenset(
    {
        "barrier",
        "completed_frontier",
        "config",
        "encode_errors",
        "endpoint_name",
        "fatal_error",
        "health",
        "metrics",
        "parse_errors",
        "paused",
        "transport_errors",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where an endpoint stands: its pipeline, its name, and its configuration as far as it is known."""

    pipeline: Pipeline
    name: str
    is_input: bool
    config: JsonObject | None = None
    relations: frozenset[str] = frozenset()
    #: how its pipeline is compiled and run
    settings: JsonObject = field(default_factory=dict)

    @property
    def external_id(self) -> str:
        return f"{self.pipeline.name}/{self.name}"

    @property
    def source(self) -> str:
        return source_of(self.name, self.config)

    @property
    def stream(self) -> str | None:
        stream = (self.config or {}).get("stream")
        return stream if isinstance(stream, str) else None

    @property
    def parts(self) -> tuple[str | None, str | None]:
        """Relation and connector."""
        return split_name(self.name, self.stream, self.relations)


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What a running pipeline tells of an endpoint. Lists of texts are None while they are not known."""

    metrics: Mapping[str, Any]
    fatal_error: str | None
    paused: bool | None
    barrier: bool | None
    health: JsonObject | None
    frontier: JsonObject | None
    #: when the newest input that is fully processed was
    completed_at: datetime | None
    record_errors: list[dict[str, Any]] | None
    transport_errors: list[dict[str, Any]] | None
    signs: Signs
    extra: JsonObject | None


def read_endpoint(
    sent: object, pipeline: Pipeline, program: Program, run: Run, *, is_input: bool, problems: list[Problem]
) -> tuple[Endpoint, Live]:
    """One InputEndpointStatus (feldera.md §4) or OutputEndpointStatus (§5). Raises SourceMismatch without a name."""
    read = LenientReader(sent)
    name = read.demand("endpoint_name", text)
    # until 2025-12 the whole configuration came along
    sent_config = without_secrets(read("config", json_object)) or {}
    configured = (program.inputs if is_input else program.outputs).get(name)
    endpoint = Endpoint(
        pipeline=pipeline,
        name=name,
        is_input=is_input,
        config={**sent_config, **(configured or {})} or None,
        relations=program.relations,
        settings=program.settings,
    )
    live = _live(read, pipeline, run, is_input=is_input)
    problems += mismatches(endpoint.external_id, read.complaints)
    return endpoint, live


def _live(read: LenientReader, pipeline: Pipeline, run: Run, *, is_input: bool) -> Live:
    metrics = _metrics(read.inner("metrics"), COUNTERS[is_input])
    texts, counted = RECORD_ERRORS[is_input]
    fatal, paused = read("fatal_error", redacted), read("paused", flag)
    return Live(
        metrics=metrics,
        fatal_error=fatal,
        paused=paused,
        barrier=read("barrier", flag),
        health=without_secrets(read("health", json_object)),
        frontier=without_secrets(read("completed_frontier", json_object)),
        completed_at=read.inner("completed_frontier")("completed_at", instant),
        record_errors=_texts(read, texts, metrics.get(counted)),
        transport_errors=_texts(read, "transport_errors", metrics.get("num_transport_errors")),
        signs=Signs(
            word=pipeline.word,
            state=run.state,
            fatal=fatal is not None,
            finished=_is_finished(metrics, run, is_input=is_input),
            paused=paused or False,
            erred=bool(metrics.get(counted) or metrics.get("num_transport_errors")),
        ),
        extra=extra(read.sent, _KEYS),
    )


def _metrics(read: LenientReader, counters: frozenset[str]) -> dict[str, Any]:
    metrics = {key: read(key, count) if key in counters else unknown(value) for key, value in read.sent.items()}
    if "end_of_input" in metrics:
        metrics["end_of_input"] = read("end_of_input", flag)
    return metrics


def _texts(read: LenientReader, key: str, counted: int | None) -> list[dict[str, Any]] | None:
    """The counter knows whether there was an error at all: a list that is missing or empty does not (§12.1)."""
    texts = read(key, lambda value: error_texts(value, read.complaints, f"{key}."))
    if counted is None or texts:
        return texts
    return [] if counted == 0 else None


def _is_finished(metrics: Mapping[str, Any], run: Run, *, is_input: bool) -> bool:
    """Inputs say so themselves (feldera.md §8.5). An output has nothing more to do once all inputs have ended, the
    pipeline is complete and its own queue is empty."""
    if is_input:
        return metrics.get("end_of_input") is True and metrics.get("buffered_records") == 0
    return run.complete and metrics.get("queued_records") == 0 and metrics.get("buffered_records") == 0
