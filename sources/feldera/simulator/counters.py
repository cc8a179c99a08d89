"""The counters that the simulated Feldera tells, keys and their order as in feldera.md §4–§6."""

from collections.abc import Sequence
from typing import Any

from sources.feldera.simulator.deployment import Pipeline
from sources.feldera.simulator.endpoints import Endpoint, ErrorText
from sources.feldera.simulator.views import zulu
from sources.feldera.simulator.world import FelderaWorld


def stats(world: FelderaWorld, of: Pipeline, *, texts: bool) -> dict[str, Any]:
    """ControllerStatus. ``texts`` adds the lists of errors."""
    return {
        "global_metrics": _global_metrics(world, of),
        "suspend_error": _suspend_error(of),
        "checkpoint_activity": _checkpoint(world, of),
        "permanent_checkpoint_errors": None if of.has_storage else ["EnterpriseFeature"],
        "inputs": [input_status(endpoint, texts=texts) for endpoint in of.inputs],
        "outputs": [output_status(endpoint, texts=texts) for endpoint in of.outputs],
    }


def _global_metrics(world: FelderaWorld, of: Pipeline) -> dict[str, Any]:
    started = of.started or world.now
    uptime = int((world.now - started).total_seconds() * 1000)
    inputs = of.inputs
    bootstraps = of.runtime == "Bootstrapping"
    received, waiting = sum(e.records for e in inputs), sum(e.buffered for e in inputs)
    size = sum(e.size_in_bytes for e in inputs)
    return {
        "state": "Paused" if of.runtime == "Paused" else "Running",
        "bootstrap_in_progress": bootstraps,
        **_transaction(of, received),
        "concurrent_bootstrap_phase": "ConcurrentBootstrapping" if bootstraps else "Inactive",
        "concurrent_bootstrap_progress": _progress(of.age) if bootstraps else None,
        "rss_bytes": 268_435_456 + received * 128,
        "memory_pressure": "low",
        "memory_pressure_epoch": 0,
        "cpu_msecs": uptime // 9,
        "uptime_msecs": uptime,
        "start_time": int(started.timestamp()),
        "incarnation_uuid": str(of.incarnation),
        "initial_start_time": int((of.first_started or started).timestamp()),
        "storage_bytes": size // 14 if of.has_storage else 0,
        "storage_mb_secs": uptime // 105,
        "runtime_elapsed_msecs": uptime // 20,
        "buffered_input_records": waiting,
        "buffered_input_bytes": waiting * 364,
        "total_input_records": received,
        "total_input_bytes": size,
        "total_processed_records": of.processed,
        "total_processed_bytes": max(size - waiting * 364, 0),
        "total_completed_records": of.processed,
        "output_stall_msecs": 0,
        "total_initiated_steps": of.steps + 1,
        "total_completed_steps": of.steps,
        "pipeline_complete": of.is_complete,
    }


def _transaction(of: Pipeline, received: int) -> dict[str, Any]:
    busy = next((e.name for e in of.inputs if e.barrier), None)
    initiated = {busy: {"phase": "Started", "label": f"v{of.age // 20}"}} if busy else {}
    number = of.age // 20 + 1
    return {
        "transaction_status": "TransactionInProgress" if busy else "NoTransaction",
        "transaction_id": number if busy else 0,
        "transaction_msecs": of.age % 20 * 1000 if busy else None,
        "transaction_records": received % 5000 if busy else None,
        "commit_progress": _progress(of.age) if busy else None,
        "transaction_initiators": {
            "transaction_id": number if busy else None,
            "initiated_by_api": "Started" if busy else None,
            "initiated_by_connectors": initiated,
        },
    }


def _progress(age: int) -> dict[str, int]:
    done = min(age % 20, 5)
    return {
        "completed": done,
        "in_progress": 1,
        "remaining": 6 - done,
        "in_progress_processed_records": done * 100,
        "in_progress_total_records": 900,
    }


def _suspend_error(of: Pipeline) -> dict[str, list[Any]] | None:
    if not of.has_storage:
        return {"Permanent": ["StorageRequired", *({"UnsupportedInputEndpoint": e.name} for e in of.inputs[:1])]}
    reasons = _delays(of)
    return {"Temporary": reasons} if reasons else None


def _delays(of: Pipeline) -> list[Any]:
    reasons: list[Any] = ["Bootstrapping"] if of.runtime == "Bootstrapping" else []
    for endpoint in of.inputs:
        if endpoint.barrier:
            reasons += ["TransactionInProgress", {"InputEndpointBarrier": endpoint.name}]
    return reasons


def _checkpoint(world: FelderaWorld, of: Pipeline) -> dict[str, Any] | None:
    if not of.has_storage:
        return None
    reasons = [reason for reason in _delays(of) if isinstance(reason, str)]
    since = zulu(of.since["status"])
    if reasons:
        return {"status": "delayed", "reasons": reasons, "delayed_since": since}
    if of.age % 60 in (30, 31):
        return {"status": "in_progress", "started_at": zulu(world.now.replace(microsecond=0))}
    return {"status": "idle"}


def input_status(endpoint: Endpoint, *, texts: bool = True) -> dict[str, Any]:
    """InputEndpointStatus."""
    latency = {} if endpoint.latency is None else {"processing_latency_p99_micros": endpoint.latency}
    return {
        "endpoint_name": endpoint.name,
        "config": {"stream": endpoint.relation or endpoint.name},
        "metrics": {
            "total_bytes": endpoint.size_in_bytes,
            "total_records": endpoint.records,
            "buffered_records": endpoint.buffered,
            "buffered_bytes": endpoint.buffered * endpoint.profile.record_bytes,
            "num_transport_errors": endpoint.transport_errors,
            "num_parse_errors": endpoint.record_errors,
            "end_of_input": endpoint.ended,
            **latency,
        },
        "fatal_error": endpoint.fatal,
        **(_texts("parse_errors", endpoint) if texts else {}),
        "health": _health(endpoint),
        "paused": endpoint.paused,
        "barrier": endpoint.barrier,
        "completed_frontier": endpoint.frontier,
    }


def output_status(endpoint: Endpoint, *, texts: bool = True) -> dict[str, Any]:
    """OutputEndpointStatus."""
    written = {"batch_records_written": endpoint.records} if "delta" in endpoint.transport else {}
    return {
        "endpoint_name": endpoint.name,
        "config": {"stream": endpoint.relation},
        "metrics": {
            "transmitted_records": endpoint.records,
            "transmitted_bytes": endpoint.size_in_bytes,
            "queued_records": endpoint.queued,
            "queued_batches": -(-endpoint.queued // 100),
            "buffered_records": 0,
            "buffered_batches": 0,
            "num_encode_errors": endpoint.record_errors,
            "num_transport_errors": endpoint.transport_errors,
            "total_processed_input_records": endpoint.seen_records,
            "total_processed_steps": endpoint.seen_steps,
            "memory": endpoint.queued * 256,
            **written,
        },
        "fatal_error": endpoint.fatal,
        **(_texts("encode_errors", endpoint) if texts else {}),
        "health": _health(endpoint),
    }


def _texts(key: str, endpoint: Endpoint) -> dict[str, list[dict[str, Any]]]:
    return {key: _errors(endpoint.record_texts), "transport_errors": _errors(endpoint.transport_texts)}


def _errors(texts: Sequence[ErrorText]) -> list[dict[str, Any]]:
    return [{"timestamp": zulu(e.at), "index": e.index, "tag": e.tag, "message": e.message} for e in texts]


def _health(endpoint: Endpoint) -> dict[str, str | None] | None:
    if not endpoint.profile.moody:
        return None
    if endpoint.healthy:
        return {"status": "Healthy", "description": None}
    return {"status": "Unhealthy", "description": "Retrying to read the transaction log"}
