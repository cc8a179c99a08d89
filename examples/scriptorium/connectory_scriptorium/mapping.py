"""Scriptorium's words in ours: a desk is a connector, a batch is a job, a page is a document (README.md)."""

from collections.abc import Callable
from typing import TypeVar

from connectory.model import ConnectorFact, ConnectorStatus, CountsFact, JobFact, JobStatus, JsonObject
from sources.base import SourceMismatch, count, details, extra, instant, slug, text

DESK_STATE = {"ready": ConnectorStatus.ACTIVE, "closed": ConnectorStatus.PAUSED, "jammed": ConnectorStatus.ERROR}
BATCH_STATE = {
    "queued": JobStatus.PENDING,
    "scanning": JobStatus.RUNNING,
    "archived": JobStatus.SUCCEEDED,
    "jammed": JobStatus.FAILED,
    "withdrawn": JobStatus.CANCELED,
}
#: Keys that the common fields hold; all others are shown as details.
_DESK = frozenset({"id", "name", "material", "state", "pages_archived", "note"})
_BATCH = frozenset({"number", "desk", "state", "pages_total", "pages_scanned", "pages_blurred", "note"})
_BATCH |= {"created", "started", "ended"}

_T = TypeVar("_T")


def connector(desk: JsonObject) -> ConnectorFact:
    word = _demand(desk, "state", text)
    return ConnectorFact(
        external_id=_demand(desk, "id", text),
        name=_demand(desk, "name", text),
        source=slug(text(desk.get("material"))),
        status=DESK_STATE.get(word, ConnectorStatus.UNKNOWN),
        upstream_status=word,
        docs_indexed=count(desk.get("pages_archived")),
        error_message=text(desk.get("note")),
        details=details("OtherConnectorDetails", {"data": extra(desk, _DESK) or {}}),
    )


def job(batch: JsonObject) -> JobFact:
    """Before somebody has counted the pages there is no ``pages_total``, and no percentage."""
    number, word = _demand(batch, "number", count), _demand(batch, "state", text)
    scanned, blurred = count(batch.get("pages_scanned")), count(batch.get("pages_blurred"))
    status = BATCH_STATE.get(word, JobStatus.UNKNOWN)
    created = _demand(batch, "created", instant)
    return JobFact(
        external_id=str(number),
        connector=_demand(batch, "desk", text),
        status=JobStatus.SUCCEEDED_WITH_ERRORS if blurred and status is JobStatus.SUCCEEDED else status,
        upstream_status=word,
        counts=CountsFact(indexed=scanned, failed=blurred),
        processed=scanned,
        total=count(batch.get("pages_total")),
        created_at=created,
        started_at=instant(batch.get("started")),
        completed_at=instant(batch.get("ended")),
        error_message=text(batch.get("note")),
        order_at=created,
        sequence=number,
        details=details("OtherJobDetails", {"data": extra(batch, _BATCH) or {}}),
    )


def _demand(entry: JsonObject, key: str, reader: Callable[[object], _T | None]) -> _T:
    value = reader(entry.get(key))
    if value is None or value == "":
        raise SourceMismatch(f"{key} is missing")
    return value
