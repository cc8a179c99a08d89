"""POST indexing-status as the server computes it: filters, summaries, groups and pages (onyx.md §3)."""

from collections.abc import Mapping
from datetime import datetime
from itertools import groupby
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel
from pydantic_core import PydanticCustomError

from sources.onyx.simulator.pairs import OPEN, SUCCESSFUL, Federated, Pair
from sources.onyx.simulator.world import OnyxWorld

PAGE = 10
# fmt: off
DOCUMENT_SOURCES = (
    "ingestion_api", "slack", "web", "google_drive", "gmail", "github", "gitbook", "gitlab", "guru", "bookstack",
    "outline", "confluence", "jira", "slab", "productboard", "file", "coda", "canvas", "notion", "zulip", "linear",
    "hubspot", "document360", "gong", "google_sites", "zendesk", "loopio", "box", "dropbox", "sharepoint", "teams",
    "salesforce", "discourse", "axero", "clickup", "mediawiki", "wikipedia", "asana", "s3", "r2",
    "google_cloud_storage", "oci_storage", "xenforo", "not_applicable", "discord", "freshdesk", "fireflies", "egnyte",
    "airtable", "highspot", "drupal_wiki", "imap", "bitbucket", "testrail", "braintrust", "lumapps", "mock_connector",
    "user_file", "craft_file",
)
# fmt: on


def _one_of_the_sources(word: str) -> str:
    if word not in DOCUMENT_SOURCES:
        expected = ", ".join(repr(source) for source in DOCUMENT_SOURCES[:2]) + " or ..."
        raise PydanticCustomError("enum", "Input should be {expected}", {"expected": expected})
    return word


DocumentSource = Annotated[str, AfterValidator(_one_of_the_sources)]
IndexingStatus = Literal[
    "not_started", "in_progress", "success", "completed_with_errors", "canceled", "interrupted", "failed"
]


class Form(BaseModel):
    """The request. Unknown keys are ignored."""

    secondary_index: bool = False
    source: DocumentSource | None = None
    access_type_filters: list[Literal["public", "private", "sync"]] = []
    last_status_filters: list[IndexingStatus] = []
    docs_count_operator: Literal[">", "<", "="] | None = None
    docs_count_value: int | None = None
    name_filter: str | None = None
    source_to_page: dict[DocumentSource, int] = {}
    get_all_connectors: bool = False


def zulu(moment: datetime | None) -> str | None:
    """A time as the server's models write it: ending in Z."""
    return moment.isoformat().replace("+00:00", "Z") if moment else None


def entry(pair: Pair, *, secondary: bool = False) -> dict[str, Any]:
    """The normal entry of a pair, keys in the order sent."""
    latest = pair.latest(future=secondary)
    finished = pair.latest(future=secondary, among=lambda attempt: attempt.status not in OPEN)
    success = pair.latest(future=secondary, among=lambda attempt: attempt.status in SUCCESSFUL)
    shown = {
        "cc_pair_id": pair.id,
        "name": pair.name,
        "source": pair.source,
        "access_type": pair.access_type,
        "cc_pair_status": pair.status,
        "in_progress": latest is not None and latest.status == "in_progress",
        "in_repeated_error_state": pair.repeated_error,
        "last_finished_status": finished.status if finished else None,
        "last_status": latest.status if latest else None,
        "last_success": zulu(success.started) if success else None,
        "is_editable": pair.editable,
        "permissions": pair.permissions,
        "docs_indexed": pair.docs,
        "latest_index_attempt_docs_indexed": latest.total_docs if latest else None,
    }
    if pair.permissions is None:  # a server before v4.7
        del shown["permissions"]
    return shown


def federated_entry(connector: Federated) -> dict[str, Any]:
    return {"id": connector.id, "source": connector.source, "name": connector.name}


def listing(world: OnyxWorld, form: Form) -> list[dict[str, Any]]:
    """The groups that answer ``form``; a group whose page is empty is left out."""
    pairs = sorted(world.visible, key=lambda pair: (not pair.editable, -pair.id))
    shown = [entry(pair, secondary=form.secondary_index) for pair in pairs]
    entries = [(row["source"], row) for row in shown if _passes(row, form)]
    for connector in world.federated:
        if _named(connector.name, form):
            entries.append((connector.source.removeprefix("federated_"), federated_entry(connector)))
    entries.sort(key=lambda sourced: sourced[0])  # stable: editable, read-only, federated
    groups = []
    for source, members in groupby(entries, key=lambda sourced: sourced[0]):
        group = _group(source, [row for _, row in members], form)
        if group["indexing_statuses"]:
            groups.append(group)
    return groups


def _named(name: str | None, form: Form) -> bool:
    return not form.name_filter or form.name_filter.lower() in (name or "").lower()


def _passes(row: Mapping[str, Any], form: Form) -> bool:
    if form.docs_count_operator is not None and form.docs_count_value is not None:
        docs, value = row["docs_indexed"], form.docs_count_value
        if not {">": docs > value, "<": docs < value, "=": docs == value}[form.docs_count_operator]:
            return False
    return (
        form.source in (None, row["source"])
        and (not form.access_type_filters or row["access_type"] in form.access_type_filters)
        and (not form.last_status_filters or row["last_status"] in form.last_status_filters)
        and _named(row["name"], form)
    )


def _group(source: str, rows: list[dict[str, Any]], form: Form) -> dict[str, Any]:
    """Summaries cover all rows; the page is a plain slice, so that page −1 counts from the end."""
    page = form.source_to_page.get(source, 1)
    first = (page - 1) * PAGE
    pairs = [row for row in rows if "cc_pair_id" in row]
    return {
        "source": source,
        "summary": {
            "total_connectors": len(rows),
            "active_connectors": sum(row["cc_pair_status"] == "ACTIVE" for row in pairs),
            "public_connectors": sum(row["access_type"] == "public" for row in pairs),
            "total_docs_indexed": sum(row["docs_indexed"] for row in pairs),
        },
        "current_page": page,
        "total_pages": -(-len(rows) // PAGE),
        "indexing_statuses": rows if form.get_all_connectors else rows[first : first + PAGE],
    }
