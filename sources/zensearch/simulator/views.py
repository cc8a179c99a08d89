"""The simulated ZenSearch's payloads (zensearch.md §3, §4), and what of their form nobody knows (§10)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aiohttp import web

from sources.zensearch.simulator.world import Connector, Job


@dataclass
class Manners:
    """How the server behaves where the pages are silent. Switch by hand in tests."""

    #: send ``meta`` beside ``data``; None: below /api/v1 only
    meta: bool | None = None
    #: status of the answer to a trigger; 200 and 202 are both conceivable
    trigger_status: int = 202
    #: a trigger during a sync answers with that job instead of 409
    second_trigger_joins: bool = False
    #: our word for a job's status → the one sent
    words: Mapping[str, str] = field(default_factory=dict)
    #: what a queued job sends as ``progress``: "absent", "null" or "zeros"
    queued_progress: str = "absent"
    #: send ``completedAt`` and ``error`` of jobs that ended
    tells_ends: bool = True
    #: answer DELETE with 200 and a body instead of 204
    delete_has_body: bool = False
    #: send rate headers, and the wait with a 429
    rate_hints: bool = True
    #: requests per minute and credential
    limit: int = 1000
    #: refuse requests without a signature
    wants_signature: bool = False


MANNERS = web.AppKey("MANNERS", Manners)


def zulu(moment: datetime | None) -> str | None:
    """A time as the server writes it: whole seconds, ending in Z."""
    return None if moment is None else moment.replace(microsecond=0).isoformat().replace("+00:00", "Z")


def connector(shown: Connector, *, with_config: bool = False) -> dict[str, Any]:
    """An entry of the list; ``with_config`` adds the configuration, as the answer about a single one does."""
    view: dict[str, Any] = {
        "id": shown.id,
        "name": shown.name,
        "type": shown.type,
        "status": shown.status,
        "collection": shown.collection,
        "lastSync": zulu(shown.last_sync),
        "createdAt": zulu(shown.created),
    }
    return view | {"config": shown.config} if with_config else view


def triggered(job: Job, manners: Manners) -> dict[str, Any]:
    return {"jobId": job.id, "status": manners.words.get(job.status, job.status), "startedAt": zulu(job.requested)}


def job(shown: Job, manners: Manners) -> dict[str, Any]:
    """The status of a job. Nothing that the pages leave out is sent before the end."""
    view = triggered(shown, manners)
    started = view.pop("startedAt")
    counters = {"collected": shown.collected, "parsed": shown.parsed, "indexed": shown.indexed}
    if shown.status != "queued":
        view["progress"] = counters
    elif manners.queued_progress != "absent":
        view["progress"] = counters if manners.queued_progress == "zeros" else None
    view["startedAt"] = started
    if manners.tells_ends and shown.completed is not None:
        view["completedAt"] = zulu(shown.completed)
        if shown.error is not None:
            view["error"] = {"code": shown.error[0], "message": shown.error[1]}
    return view
