"""The simulated Onyx's other payloads (onyx.md §2, §5)."""

from datetime import datetime, timedelta
from typing import Any

from sources.onyx.simulator.listing import zulu
from sources.onyx.simulator.pairs import Attempt, Failure, Pair
from sources.onyx.simulator.world import BATCH, OnyxWorld

ADMIN_ID, ADMIN_EMAIL = "0d5a2c1e-7f3b-4c60-9a51-3b1f2e6d8c94", "admin@example.com"


def _offset(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def attempt(run: Attempt) -> dict[str, Any]:
    """IndexAttemptSnapshot: its own times end in an offset, the poll range in Z."""
    return {
        "id": run.id,
        "status": run.status,
        "from_beginning": run.from_beginning,
        "new_docs_indexed": run.new_docs,
        "total_docs_indexed": run.total_docs,
        "docs_removed_from_index": 0,
        "error_msg": run.error_msg,
        "error_count": len(run.failures),
        "full_exception_trace": run.trace,
        "time_started": _offset(run.started),
        "time_updated": _offset(run.updated),
        "poll_range_start": zulu(run.poll_start),
        "poll_range_end": zulu(run.poll_end),
    }


def attempts(pair: Pair) -> list[Attempt]:
    """By start, newest first; those that never started come before all others, as PostgreSQL sorts nulls."""
    runs = [run for run in reversed(pair.attempts) if not run.future]
    waiting = [run for run in runs if run.started is None]
    started = sorted((run for run in runs if run.started), key=lambda run: run.started or run.updated, reverse=True)
    return waiting + started


def failure(pair: Pair, run: Attempt, row: Failure) -> dict[str, Any]:
    """IndexAttemptError."""
    return {
        "id": row.id,
        "connector_credential_pair_id": pair.id,
        "document_id": row.document,
        "document_link": row.document,
        "entity_id": None,
        "failed_time_range_start": None,
        "failed_time_range_end": None,
        "failure_message": row.message,
        "is_resolved": row.resolved,
        "time_created": zulu(row.created),
        "index_attempt_id": run.id,
        "error_type": "ValueError",
    }


def connector(world: OnyxWorld, pair: Pair) -> dict[str, Any]:
    """ConnectorSnapshot."""
    others = [other.credential_id for other in world.pairs.values() if other.connector_id == pair.connector_id]
    return {
        "name": pair.name,
        "source": pair.source,
        "input_type": "load_state" if pair.refresh is None else "poll",
        "connector_specific_config": {},
        "refresh_freq": pair.refresh,
        "prune_freq": pair.prune,
        "indexing_start": None,
        "id": pair.connector_id,
        "credential_ids": others,
        "time_created": zulu(pair.created),
        "time_updated": zulu(pair.created),
    }


def credential(pair: Pair) -> dict[str, Any]:
    """CredentialSnapshot, masked."""
    return {
        "credential_json": {},
        "admin_public": True,
        "source": pair.source,
        "name": None,
        "curator_public": False,
        "groups": [],
        "id": pair.credential_id,
        "user_id": ADMIN_ID,
        "user_email": ADMIN_EMAIL,
        "time_created": zulu(pair.created),
        "time_updated": zulu(pair.created),
    }


def detail(world: OnyxWorld, pair: Pair) -> dict[str, Any]:
    """CCPairFullInfo. During the very first attempt the count of documents is that attempt's."""
    runs = [run for run in pair.attempts if not run.future]
    latest, success = pair.latest(), pair.success
    deletion = {"connector_id": pair.connector_id, "credential_id": pair.credential_id, "status": "STARTED"}
    minutes = max((world.now - pair.created) / timedelta(minutes=1), 1.0)
    return {
        "id": pair.id,
        "name": pair.name,
        "status": pair.status,
        "in_repeated_error_state": pair.repeated_error,
        "num_docs_indexed": runs[0].new_docs if len(runs) == 1 and runs[0].open else pair.docs,
        "connector": connector(world, pair),
        "credential": credential(pair),
        "number_of_index_attempts": len(runs),
        "last_index_attempt_status": latest.status if latest else None,
        "latest_deletion_attempt": deletion if pair.status == "DELETING" else None,
        "access_type": pair.access_type,
        "is_editable_for_current_user": pair.editable,
        "permissions": pair.permissions,
        "deletion_failure_message": None,
        "indexing": latest is not None and latest.status == "in_progress",
        "creator": ADMIN_ID,
        "creator_email": ADMIN_EMAIL,
        "last_indexed": zulu(success.started) if success else None,
        "last_pruned": zulu(pair.last_pruned),
        "last_full_permission_sync": None if pair.access_type == "sync" else zulu(world.now),
        "overall_indexing_speed": round(pair.docs / minutes, 4) if success else None,
        "latest_checkpoint_description": None,
        "last_permission_sync_attempt_status": "success" if pair.access_type == "sync" else None,
        "permission_syncing": False,
        "last_permission_sync_attempt_finished": zulu(pair.created) if pair.access_type == "sync" else None,
        "last_permission_sync_attempt_error_message": None,
        "supports_targeted_reindex": False,
    }


def stage_metrics(run: Attempt) -> dict[str, Any]:
    """Timings in milliseconds; the synthetic stage comes last and has no extremes."""
    batches = -(-run.total_docs // BATCH)
    plan = (
        ("CONNECTOR_VALIDATION", "ATTEMPT_LEVEL", 1, 640),
        ("CONNECTOR_FETCH", "BATCH_LEVEL", batches, 1400),
        ("EMBEDDING", "BATCH_LEVEL", batches, 900),
        ("BATCH_TOTAL", "BATCH_LEVEL", batches, 2900),
        ("BATCH_UNACCOUNTED", "BATCH_LEVEL", batches, 600),
    )
    return {"index_attempt_id": run.id, "stages": [_stage(run, *line) for line in plan if line[2]]}


def _stage(run: Attempt, stage: str, scope: str, events: int, each: int) -> dict[str, Any]:
    extreme = None if stage == "BATCH_UNACCOUNTED" else each
    return {
        "stage": stage,
        "scope": scope,
        "event_count": events,
        "total_duration_ms": events * each,
        "avg_duration_ms": float(each),
        "std_dev_duration_ms": 0.0 if events > 1 else None,
        "min_duration_ms": extreme,
        "max_duration_ms": extreme,
        "time_first_event": zulu(run.started),
        "time_last_event": zulu(run.updated),
    }


def failed(pair: Pair) -> dict[str, Any] | None:
    """An entry of failed-indexing-status. A later success clears it, a later completed_with_errors does not (§2)."""
    ended = (run for run in reversed(pair.attempts) if run.status in ("failed", "success") and not run.future)
    latest = next(ended, None)
    if latest is None or latest.status != "failed":
        return None
    return {
        "cc_pair_id": pair.id,
        "name": pair.name,
        "error_msg": latest.error_msg,
        "is_deletable": pair.status in ("PAUSED", "INVALID"),
        "connector_id": pair.connector_id,
        "credential_id": pair.credential_id,
    }
