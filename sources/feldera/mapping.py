"""Feldera's endpoints in our words: pure functions from what was read of them to facts."""

from collections.abc import Mapping
from typing import Any

from connectory.model import (
    ConnectorFact,
    ConnectorMode,
    ConnectorStatus,
    CountsFact,
    Details,
    JobErrorFact,
    JobFact,
    JobStatus,
    JobType,
    Problem,
    SystemErrorCode,
)
from sources.feldera.pipelines import Pipeline, Run
from sources.feldera.reports import RECORD_ERRORS, Endpoint, Live
from sources.feldera.statuses import job_status, live_status, resting_status
from sources.reading import details, instant


def connector(endpoint: Endpoint, live: Live | None) -> ConnectorFact:
    """``live`` is None while the pipeline tells no counters."""
    pipeline = endpoint.pipeline
    if live is not None:
        status = live_status(live.signs)
    else:
        status = resting_status(pipeline.word, failed=pipeline.error is not None)
    return ConnectorFact(
        external_id=endpoint.external_id,
        name=endpoint.name,
        source=endpoint.source,
        status=status,
        upstream_status=pipeline.word,
        mode=ConnectorMode.STREAMING,
        last_success_at=live.completed_at if live else None,
        error_message=_error_message(pipeline, live, status),
        is_unhealthy=live is not None and (live.health or {}).get("status") == "Unhealthy",
        # totals, never reset while it runs: growth counts, not that they are above zero (feldera.md §4, §12.3)
        parse_errors=live.metrics.get(RECORD_ERRORS[endpoint.is_input][1]) if live else None,
        transport_errors=live.metrics.get("num_transport_errors") if live else None,
        # an input that holds back checkpoint and suspend right now (feldera.md §4)
        blocks_checkpoint=bool(live and live.barrier),
        details=_connector_details(endpoint, live),
    )


def _error_message(pipeline: Pipeline, live: Live | None, status: ConnectorStatus) -> str | None:
    if live is not None:
        unhealthy = (live.health or {}).get("status") == "Unhealthy"
        complaint = (live.health or {}).get("description") if unhealthy else None
        return live.fatal_error or (complaint if isinstance(complaint, str) else None)
    if status is ConnectorStatus.ERROR:
        message = (pipeline.error or {}).get("message")
        return message if isinstance(message, str) else None
    return pipeline.reason if pipeline.word == "Unavailable" else None


def _connector_details(endpoint: Endpoint, live: Live | None) -> Details:
    pipeline = endpoint.pipeline
    relation, name = endpoint.parts
    return details(
        "FelderaEndpointDetails",
        {
            "pipeline_name": pipeline.name,
            "endpoint_name": endpoint.name,
            "connector_name": name,
            "relation": relation,
            "stream": endpoint.stream,
            "direction": "INPUT" if endpoint.is_input else "OUTPUT",
            "pipeline_status": pipeline.word,
            "deployment_error": pipeline.error,
            "paused": live and live.paused,
            "barrier": live and live.barrier,
            "fatal_error": live and live.fatal_error,
            "health": live and live.health,
            "completed_frontier": live and live.frontier,
            "metrics": (live and live.metrics) or None,
            "config": endpoint.config,
            "parse_errors": live and live.record_errors,
            "transport_errors": live and live.transport_errors,
            "pipeline": {**pipeline.shown, **endpoint.settings},
            "extra": live and live.extra,
        },
    )


def job(endpoint: Endpoint, live: Live, run: Run, problems: list[Problem]) -> JobFact | None:
    """The endpoint's run in this incarnation; None, with a problem, where the answer does not tell which one it is."""
    if run.incarnation is None or run.started_at is None:
        missing = "incarnation_uuid" if run.incarnation is None else "start_time"
        problems.append(Problem(SystemErrorCode.MISMATCH, f"{endpoint.external_id}: no run without {missing}"))
        return None
    metrics = live.metrics
    status = job_status(live.signs)
    return JobFact(
        external_id=f"{endpoint.external_id}@{run.incarnation}",
        connector=endpoint.external_id,
        source=endpoint.source,
        status=status,
        upstream_status=endpoint.pipeline.word,
        type=JobType.STREAM,
        counts=_counts(metrics, is_input=endpoint.is_input),
        processed=_processed(metrics) if endpoint.is_input else metrics.get("transmitted_records"),
        started_at=run.started_at,
        error_message=live.fatal_error if status is JobStatus.FAILED else None,
        order_at=run.started_at,
        errors=_job_errors(live),
        details=details(
            "FelderaJobDetails",
            {
                "end_of_input": metrics.get("end_of_input"),
                "pipeline_status": endpoint.pipeline.word,
                "metrics": metrics or None,
                "run": run.shown,
                "extra": None,
            },
        ),
    )


def _counts(metrics: Mapping[str, Any], *, is_input: bool) -> CountsFact:
    records, volume = ("total_records", "total_bytes") if is_input else ("transmitted_records", "transmitted_bytes")
    _, failed = RECORD_ERRORS[is_input]
    return CountsFact(total=metrics.get(records), failed=metrics.get(failed), volume_bytes=metrics.get(volume))


def _processed(metrics: Mapping[str, Any]) -> int | None:
    """What the circuit has taken. The two counters are not read at one moment: a difference below zero says nothing."""
    received, waiting = metrics.get("total_records"), metrics.get("buffered_records")
    return received - waiting if received is not None and waiting is not None and received >= waiting else None


def _job_errors(live: Live) -> tuple[JobErrorFact, ...] | None:
    """Records that failed, oldest first. What the transport complained of names no record."""
    if live.record_errors is None:
        return None
    return tuple(JobErrorFact(message=e["message"], at=instant(e["at"])) for e in live.record_errors)
