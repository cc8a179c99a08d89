"""What a receiver is sent: one JSON object, decided once, and the forms in which it goes out. Pure."""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from connectory.model import DeliveryPhase, DescribedEnum
from connectory.store.log.cursors import Place
from connectory.store.reads.notice_state import Notice, NoticeState
from connectory.store.tables.identity import external_id

#: Of the shape of the object; keys may be added without a new one.
VERSION = 1
#: Characters that a Slack block takes, with some room.
_LONGEST = 2_800


def payload(delivery: str, phase: DeliveryPhase, notice: Notice, state: NoticeState) -> str:
    """The object as text."""
    job: str | None = notice.job_id
    assert notice.position is not None  # nobody is told of what was not raised
    raised = Place(notice.position, notice.mark, state.current.place.store)
    shown = {name: _plain(getattr(notice, name)) for name in ("id", "kind", "code", "severity", "title", "message")}
    times = {
        "since": notice.since,
        "raisedAt": notice.raised_at,
        "recoveredAt": notice.recovered_at,
    }
    shown |= {name: _plain(moment) for name, moment in times.items()}
    shown |= {
        "recoveryMessage": notice.recovery_message,
        "eventCursor": raised.cursor,
        "system": _of(state.systems.get(notice.system_id), id="id", name="name", kind="kind"),
        "connector": _of(
            state.connector_of(notice),
            id="id",
            externalId="external_id",
            name="name",
            source="source",
        ),
        "job": job and {"id": job, "externalId": external_id(job)},
    }
    return json.dumps({"version": VERSION, "delivery": delivery, "phase": phase.name, "notice": shown})


def _of(row: Any, **keys: str) -> dict[str, Any] | None:
    return None if row is None else {key: getattr(row, name) for key, name in keys.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, DescribedEnum):
        return value.name
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value


def signed(body: bytes, secret: str, delivery: str, timestamp: int) -> dict[str, str]:
    """The headers by which a receiver knows who sent it, when (seconds since 1970), and whether it has it already."""
    digest = hmac.new(secret.encode(), b"%d." % timestamp + body, hashlib.sha256).hexdigest()
    return {
        "Connectory-Delivery": delivery,
        "Connectory-Timestamp": str(timestamp),
        "Connectory-Signature": f"sha256={digest}",
    }


def slack(sent: Mapping[str, Any]) -> dict[str, Any]:
    """The same for a Slack-compatible incoming webhook."""
    notice = sent["notice"]
    over = sent["phase"] == DeliveryPhase.RECOVERED.name
    mark = ":large_green_circle:" if over else ":red_circle:" if notice["severity"] == "CRITICAL" else ":warning:"
    title = ("Recovered: " if over else "") + _escaped(notice["title"])
    message = _escaped(notice["recoveryMessage"] if over else notice["message"])
    context = " · ".join(
        part for part in (notice["system"] and notice["system"]["kind"], notice["kind"], notice["since"]) if part
    )
    return {
        "text": _cut(f"{mark} {title}: {message}"),
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": _cut(f"{mark} *{title}*\n{message}")}},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": _escaped(context)}]},
        ],
    }


def _escaped(text: str) -> str:
    """Nothing in it is a link, and nobody is called by it: Mattermost knows a bare @channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "@\N{ZERO WIDTH SPACE}")


def _cut(escaped: str) -> str:
    """As much of it as goes, without a piece of an escape at its end."""
    return escaped if len(escaped) <= _LONGEST else re.sub(r"&[^;]*\Z", "", escaped[:_LONGEST])
