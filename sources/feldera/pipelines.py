"""What Feldera tells of a pipeline: its entry in the list, its program's connectors, and the run that it is in."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from connectory.model import JsonObject, Problem
from sources.feldera.redaction import extra, unknown, without_secrets
from sources.feldera.values import epoch_seconds
from sources.reading import LenientReader, flag, instant, json_object, mismatches, slug, text

#: What only the selector ``all`` adds: the program and how it is run. Its text quotes connectors with their secrets.
PROGRAM_KEYS = frozenset(
    {"program_code", "program_config", "program_error", "program_info", "runtime_config", "udf_rust", "udf_toml"}
)
#: Of these, what holds settings and no text of the program.
_SETTINGS = ("program_config", "runtime_config")
_OWN_FIELDS = frozenset({"name", "deployment_status", "deployment_error"})
#: What decides about the configured connectors: they are read again when one of these changes.
_EDITION = ("id", "version", "refresh_version", "program_version", "program_status", "platform_version")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """An entry of the list (feldera.md §7)."""

    name: str
    #: ``deployment_status``
    word: str | None
    #: ``deployment_error``, secrets taken out
    error: JsonObject | None
    #: why the process does not answer, as far as somebody said so
    reason: str | None
    deployment: str | None
    provisioned_at: datetime | None
    edition: tuple[str, ...]
    #: everything else that was sent
    shown: JsonObject


def read_pipeline(entry: object, problems: list[Problem]) -> Pipeline:
    """Raises SourceMismatch for what is no pipeline or has no name."""
    read = LenientReader(entry)
    pipeline = Pipeline(
        name=read.demand("name", text),
        word=read("deployment_status", text),
        error=without_secrets(read("deployment_error", json_object)),
        reason=read.inner("deployment_runtime_status_details")("reason", text),
        deployment=read("deployment_id", text),
        provisioned_at=read("deployment_resources_status_since", instant),
        edition=tuple(str(read.sent.get(key)) for key in _EDITION),
        shown=extra(read.sent, _OWN_FIELDS | PROGRAM_KEYS) or {},
    )
    problems += mismatches(f"pipeline {pipeline.name}", read.complaints)
    return pipeline


@dataclass(frozen=True, slots=True)
class Program:
    """The configured connectors by endpoint name, secrets taken out, and the names of all tables and views; and how
    the program is compiled and run."""

    inputs: Mapping[str, JsonObject] = field(default_factory=dict)
    outputs: Mapping[str, JsonObject] = field(default_factory=dict)
    relations: frozenset[str] = frozenset()
    #: ``program_config`` and ``runtime_config``, secrets taken out
    settings: JsonObject = field(default_factory=dict)


def read_program(entry: JsonObject, problems: list[Problem]) -> Program:
    """``program_info`` of a pipeline read with the selector ``all``: null until its SQL is compiled."""
    settings = {key: without_secrets(entry[key], key) for key in _SETTINGS if key in entry}
    read = LenientReader(entry)
    info = read.inner("program_info")
    inputs, outputs = (_configured(info.inner(key)) for key in ("input_connectors", "output_connectors"))
    streams = {config.get("stream") for config in (*inputs.values(), *outputs.values())}
    relations = streams | _relations(info("schema", json_object) or {})
    problems += mismatches(f"pipeline {entry.get('name')}", read.complaints)
    return Program(inputs, outputs, frozenset(name for name in relations if isinstance(name, str)), settings)


def _configured(read: LenientReader) -> dict[str, JsonObject]:
    found = {name: read(name, json_object) for name in read.sent}
    return {text(name) or "": without_secrets(config) for name, config in found.items() if config is not None}


def _relations(schema: JsonObject) -> set[Any]:
    listed = [schema.get(key) for key in ("inputs", "outputs")]
    return {r.get("name") for part in listed if isinstance(part, list) for r in part if isinstance(r, Mapping)}


_AD_HOC = re.compile(r"\.api-(ingress-[0-9a-f]{16}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$")
#: The endpoint that tells the time; it belongs to no table (feldera.md §3).
CLOCK = "now"


def is_ad_hoc(name: str) -> bool:
    """Whether the endpoint came by HTTP, and will go again."""
    return bool(_AD_HOC.search(name))


def source_of(name: str, config: JsonObject | None) -> str:
    """The transport as a slug (``kafka_input`` → ``kafka``); it stands in the configuration only."""
    transport = (config or {}).get("transport")
    word = transport.get("name") if isinstance(transport, Mapping) else None
    if isinstance(word, str) and word:
        return slug(re.sub(r"_(input|output)$", "", word))
    if is_ad_hoc(name):
        return "http"
    return "clock" if name == CLOCK else "unknown"


def split_name(name: str, stream: str | None, relations: frozenset[str]) -> tuple[str | None, str | None]:
    """Relation and connector of an endpoint's name. A quoted identifier may hold dots, so the stream is believed
    before the last dot, and that one only where a relation is known that ends there (feldera.md §3)."""
    if stream and name.casefold().startswith(f"{stream.casefold()}."):
        return stream, name[len(stream) + 1 :]
    before, dot, after = name.rpartition(".")
    if dot and before in relations:
        return before, after
    return (stream if stream != name else None), None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One incarnation of a pipeline's process (feldera.md §6)."""

    incarnation: str | None
    started_at: datetime | None
    #: Paused, Running or Terminated
    state: str | None
    #: every input has ended, HTTP ingress among them, and everything is processed
    complete: bool
    #: what holds for the run as a whole
    shown: JsonObject


#: Numbers of the process as a whole. They move with every answer, so they would make every endpoint look changed.
GAUGES = frozenset(
    {
        "buffered_input_bytes",
        "buffered_input_records",
        "cpu_msecs",
        "output_stall_msecs",
        "rss_bytes",
        "runtime_elapsed_msecs",
        "storage_bytes",
        "storage_mb_secs",
        "total_completed_records",
        "total_completed_steps",
        "total_initiated_steps",
        "total_input_bytes",
        "total_input_records",
        "total_processed_bytes",
        "total_processed_records",
        "transaction_msecs",
        "transaction_records",
        "uptime_msecs",
    }
)
_TIMES = frozenset({"start_time", "initial_start_time"})
_STEADY_NUMBERS = frozenset({"memory_pressure_epoch", "transaction_id"})


def read_run(body: JsonObject, pipeline: Pipeline, problems: list[Problem]) -> Run:
    """A server that names no incarnation is told apart by the deployment, and by its start as a last resort."""
    read = LenientReader(body).inner("global_metrics")
    started_at = read("start_time", epoch_seconds) or pipeline.provisioned_at
    incarnation = read("incarnation_uuid", text) or pipeline.deployment
    shown = {key: unknown(value, key) for key, value in read.sent.items() if _is_steady(key, value)}
    shown |= {key: moment for key in _TIMES if (moment := read(key, epoch_seconds)) is not None}
    for key, value in body.items():
        if key not in ("global_metrics", "inputs", "outputs"):
            shown[key] = unknown(value, key)
    run = Run(
        incarnation=incarnation or (started_at.isoformat() if started_at else None),
        started_at=started_at,
        state=read("state", text),
        complete=bool(read("pipeline_complete", flag)) and _all_ended(body.get("inputs")),
        shown=shown,
    )
    problems += mismatches(f"stats of pipeline {pipeline.name}", read.complaints)
    return run


def _all_ended(inputs: object) -> bool:
    """``pipeline_complete`` leaves HTTP ingress out, and is true where there is nothing else (feldera.md §6)."""
    sent = [one for one in inputs if isinstance(one, Mapping)] if isinstance(inputs, list) else []
    metrics = [one.get("metrics") for one in sent if one.get("endpoint_name") != CLOCK]
    return bool(metrics) and all(isinstance(m, Mapping) and m.get("end_of_input") is True for m in metrics)


def _is_steady(key: str, value: object) -> bool:
    """Whether it holds still while nothing happens. A number that nobody has explained is taken for a gauge."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return key not in GAUGES | _TIMES and (not is_number or key in _STEADY_NUMBERS)
