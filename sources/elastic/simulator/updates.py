"""The simulated routes that change one part of a connector: ``PUT /_connector/{c}/_…`` (elastic.md §2, §6)."""

from collections.abc import Callable
from typing import Any

from sources.elastic.simulator.checks import Call, Route
from sources.elastic.simulator.documents import Document, api_time
from sources.elastic.simulator.refusals import conflicting, illegal, invalid, unparsable, wrong_transition
from sources.elastic.simulator.world import CONNECTOR_MOVES

Change = Callable[[Call, Document], Document]


def _status(call: Call, connector: Document) -> Document:
    call.require("status")
    wanted = call.body["status"]
    if wanted not in CONNECTOR_MOVES:
        raise illegal(f"Unknown ConnectorStatus [{wanted}].")
    if wanted not in CONNECTOR_MOVES[connector["status"]]:
        raise wrong_transition("ConnectorStatus", connector["status"], wanted)
    return {"status": wanted}


def _error(call: Call, connector: Document) -> Document:
    if "error" not in call.body:
        raise invalid("[error] is missing")
    error = call.body["error"]
    return {"error": error, "status": "connected" if error is None else "error"}


def _scheduling(call: Call, connector: Document) -> Document:
    call.require("scheduling")
    for name, entry in call.body["scheduling"].items():
        if not isinstance(entry, dict) or not entry.keys() >= {"enabled", "interval"}:
            raise unparsable(f"[1:2] [scheduling] failed to parse field [{name}]")
    return {"scheduling": {**connector["scheduling"], **call.body["scheduling"]}}


def _configuration(call: Call, connector: Document) -> Document:
    schema: Any = call.body.get("configuration")
    values: Any = call.body.get("values")
    if (schema is None) == (values is None):
        raise invalid("either [configuration] or [values] must be given")
    if schema is not None:
        return {"configuration": schema, "status": "configured"}
    unknown = sorted(set(values) - set(connector["configuration"]))
    if unknown:
        raise conflicting(
            f"Unknown [configuration] fields in the request payload: [{', '.join(unknown)}]. "
            f"Remove them from request or register their schema first."
        )
    filled = {name: {**connector["configuration"][name], "value": value} for name, value in values.items()}
    return {"configuration": {**connector["configuration"], **filled}, "status": "configured"}


def _name(call: Call, connector: Document) -> Document:
    changes: Document = {key: call.body[key] for key in ("name", "description") if key in call.body}
    if not changes:
        raise invalid("[name] and [description] cannot both be missing")
    return changes


def _index_name(call: Call, connector: Document) -> Document:
    if "index_name" not in call.body:
        raise invalid("[index_name] is missing")
    call.world.refuse_index(call.body["index_name"], connector["id"], native=connector["is_native"])
    call.world.reorder()
    return {"index_name": call.body["index_name"]}


def _service_type(call: Call, connector: Document) -> Document:
    call.require("service_type")
    status = connector["status"] if connector["status"] == "created" else "needs_configuration"
    return {"service_type": call.body["service_type"], "status": status}


def _native(call: Call, connector: Document) -> Document:
    call.require("is_native")
    status = "configured" if connector["status"] == "connected" else connector["status"]
    return {"is_native": call.body["is_native"], "status": status}


def _api_key_id(call: Call, connector: Document) -> Document:
    if not call.body:
        raise invalid("[api_key_id] and [api_key_secret_id] cannot both be missing")
    return call.body


def _last_sync(call: Call, connector: Document) -> Document:
    return call.body


def _whole(name: str) -> Change:
    def change(call: Call, connector: Document) -> Document:
        call.require(name)
        return {name: call.body[name]}

    return change


def _check_in(call: Call, connector: Document) -> Document:
    return {"last_seen": api_time(call.world.now)}


def _draft(call: Call, connector: Document) -> Document:
    """Change the draft of the first entry, which is then edited and not in force."""
    if not call.body:
        raise invalid("[rules], [advanced_snippet] or [filtering] must be given")
    if call.body.get("filtering"):
        return {"filtering": call.body["filtering"]}
    parts: Document = {key: call.body[key] for key in ("rules", "advanced_snippet") if call.body.get(key) is not None}
    return _with_draft(connector, {**parts, "validation": {"errors": [], "state": "edited"}})


def _validation(call: Call, connector: Document) -> Document:
    call.require("validation")
    return _with_draft(connector, {"validation": call.body["validation"]})


def _with_draft(connector: Document, changes: dict[str, Any]) -> Document:
    first, *others = connector["filtering"]
    return {"filtering": [{**first, "draft": {**first["draft"], **changes}}, *others]}


def _activate(call: Call, connector: Document) -> Document:
    first, *others = connector["filtering"]
    state = first["draft"]["validation"]["state"]
    if state != "valid":
        raise conflicting(
            "Filtering draft needs to be validated (draft validation state equals to [valid]) before activation. "
            f"Current draft validation state: [{state}]"
        )
    return {"filtering": [{**first, "active": first["draft"]}, *others]}


_LAST_SYNC = (
    *(
        f"last_{kind}_{what}"
        for kind in ("sync", "access_control_sync")
        for what in ("error", "scheduled_at", "status")
    ),
    "last_incremental_sync_scheduled_at",
    "last_synced",
    "last_seen",
    "last_indexed_document_count",
    "last_deleted_document_count",
    "sync_cursor",
)
#: route below the connector → what it changes, and the fields that its body may have
CHANGES: dict[str, tuple[Change, tuple[str, ...]]] = {
    "_check_in": (_check_in, ()),
    "_status": (_status, ("status",)),
    "_error": (_error, ("error",)),
    "_scheduling": (_scheduling, ("scheduling",)),
    "_configuration": (_configuration, ("configuration", "values")),
    "_name": (_name, ("name", "description")),
    "_index_name": (_index_name, ("index_name",)),
    "_service_type": (_service_type, ("service_type",)),
    "_native": (_native, ("is_native",)),
    "_pipeline": (_whole("pipeline"), ("pipeline",)),
    "_features": (_whole("features"), ("features",)),
    "_api_key_id": (_api_key_id, ("api_key_id", "api_key_secret_id")),
    "_last_sync": (_last_sync, _LAST_SYNC),
    "_filtering": (_draft, ("rules", "advanced_snippet", "filtering")),
    "_filtering/_validation": (_validation, ("validation",)),
    "_filtering/_activate": (_activate, ()),
}


def routes(connector_path: str) -> list[Route]:
    return [
        Route(
            "PUT",
            f"{connector_path}/{name}",
            _applying(change),
            f"update_{name.replace('/', '').strip('_')}",
            fields=frozenset(fields),
        )
        for name, (change, fields) in CHANGES.items()
    ]


def _applying(change: Change) -> Callable[[Call], tuple[int, Any]]:
    def handler(call: Call) -> tuple[int, Any]:
        connector = call.world.connector(call.ids["connector"])
        changes = change(call, connector)
        same = all(key in connector and connector[key] == value for key, value in changes.items())
        connector.update(changes)
        return 200, {"result": "noop" if same else "updated"}

    return handler
