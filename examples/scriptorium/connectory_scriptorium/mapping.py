"""Scriptorium's words in ours: a desk is a connector, a batch is a job, a page is a document (README.md)."""

from connectory.model import ConnectorFact, ConnectorStatus, CountsFact, JobFact, JobStatus
from sources.reading import Reader, count, details, extra, identifier, instant, slug, text

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


def connector(desk: object) -> ConnectorFact:
    read = Reader(desk)
    word = read.demand("state", text)
    return ConnectorFact(
        external_id=read.demand("id", identifier),
        name=read.demand("name", text),
        source=slug(read("material", text)),
        status=DESK_STATE.get(word, ConnectorStatus.UNKNOWN),
        upstream_status=word,
        docs_indexed=read("pages_archived", count),
        error_message=read("note", text),
        details=details("OtherConnectorDetails", {"data": extra(read.sent, _DESK) or {}}),
    )


def job(batch: object) -> JobFact:
    """Before somebody has counted the pages there is no ``pages_total``, and no percentage."""
    read = Reader(batch)
    number, word = read.demand("number", count), read.demand("state", text)
    scanned, blurred = read("pages_scanned", count), read("pages_blurred", count)
    status = BATCH_STATE.get(word, JobStatus.UNKNOWN)
    created = read.demand("created", instant)
    return JobFact(
        external_id=str(number),
        connector=read.demand("desk", identifier),
        status=JobStatus.SUCCEEDED_WITH_ERRORS if blurred and status is JobStatus.SUCCEEDED else status,
        upstream_status=word,
        counts=CountsFact(indexed=scanned, failed=blurred),
        processed=scanned,
        total=read("pages_total", count),
        created_at=created,
        started_at=read("started", instant),
        completed_at=read("ended", instant),
        error_message=read("note", text),
        order_at=created,
        sequence=number,
        details=details("OtherJobDetails", {"data": extra(read.sent, _BATCH) or {}}),
    )
