"""The documents that the simulated Elasticsearch keeps: their shapes and what stands in them (elastic.md §4, §5).

Documents of many connectors share their parts: a part is replaced, never changed.
"""

import base64
import random
from datetime import UTC, datetime
from typing import Any

Document = dict[str, Any]

DAILY = "0 0 0 * * ?"
PIPELINE: Document = {
    "extract_binary_content": True,
    "name": "search-default-ingestion",
    "reduce_whitespace": True,
    "run_ml_inference": False,
}
FEATURES: Document = {
    "document_level_security": {"enabled": True},
    "incremental_sync": {"enabled": True},
    "sync_rules": {"advanced": {"enabled": False}, "basic": {"enabled": True}},
}
NO_SCHEDULE: Document = {
    kind: {"enabled": False, "interval": DAILY} for kind in ("access_control", "full", "incremental")
}
#: Set to null at creation, though the key is there (elastic.md §5).
_NULL_AT_FIRST = (
    "last_access_control_sync_error",
    "last_access_control_sync_scheduled_at",
    "last_access_control_sync_status",
    "last_incremental_sync_scheduled_at",
    "last_sync_error",
    "last_sync_scheduled_at",
    "last_sync_status",
    "last_synced",
)


def api_time(moment: datetime) -> str:
    """A time as the server writes it: ``Z`` and three digits of a second, or none (elastic.md §8)."""
    moment = moment.astimezone(UTC)
    form = "milliseconds" if moment.microsecond >= 1000 else "seconds"
    return moment.isoformat(timespec=form).replace("+00:00", "Z")


def worker_time(moment: datetime) -> str:
    """A time as the worker writes it: an offset, and microseconds unless they are zero (elastic.md §8)."""
    return moment.astimezone(UTC).isoformat()


def new_id(chance: random.Random) -> str:
    """Twenty characters, as Elasticsearch makes them."""
    made = base64.urlsafe_b64encode(chance.getrandbits(120).to_bytes(15, "big")).decode()
    return made.replace("-", "k").replace("_", "x")


def setting(order: int, label: str, value: Any, **more: Any) -> Document:
    """One configuration property (elastic.md §5)."""
    kinds = {bool: ("bool", "toggle"), int: ("int", "numeric"), list: ("list", "textarea")}
    kind, display = kinds.get(type(value), ("str", "textbox"))
    return {
        "default_value": None,
        "depends_on": [],
        "display": display,
        "label": label,
        "options": [],
        "order": order,
        "required": True,
        "sensitive": False,
        "tooltip": None,
        "type": kind,
        "ui_restrictions": [],
        "validations": [],
        "value": value,
        **more,
    }


def _database(port: int) -> Document:
    return {
        "host": setting(1, "Host", "db01.internal.example"),
        "port": setting(2, "Port", port),
        "user": setting(3, "Username", "reader"),
        "password": setting(4, "Password", "NOT-A-REAL-SECRET-1", sensitive=True),
        "tables": setting(5, "Comma-separated list of tables", ["orders", "customers"], default_value=["*"]),
        "ssl_enabled": setting(6, "Enable SSL", False, default_value=False),
    }


def _cloud(address: str, secret: str) -> Document:
    return {
        "host": setting(1, "Server URL", address),
        "token": setting(2, "Token", secret, sensitive=True),
        "retry_count": setting(
            3,
            "Maximum retries per request",
            3,
            default_value=3,
            required=False,
            ui_restrictions=["advanced"],
            validations=[{"type": "less_than", "constraint": 10}],
        ),
        "use_document_level_security": setting(
            4, "Enable document level security", True, default_value=False, tooltip="Sync access rules too."
        ),
    }


#: What can be configured, by service type.
CONFIGURATIONS: dict[str, Document] = {
    "mysql": _database(3306),
    "github": _cloud("https://git.example.com", "NOT-A-REAL-SECRET-2"),
    "sharepoint_online": {
        "tenant_id": setting(1, "Tenant ID", "00000000-0000-0000-0000-000000000001"),
        "secret_value": setting(2, "Secret value", "NOT-A-REAL-SECRET-3", sensitive=True),
    },
    "confluence": _cloud("https://wiki.example.com", "NOT-A-REAL-SECRET-4"),
    "postgresql": _database(5432),
    "s3": {
        "buckets": setting(1, "Buckets", ["reports", "archive"]),
        "aws_access_key_id": setting(2, "Access key id", "AKIAEXAMPLE"),
        "aws_secret_access_key": setting(3, "Secret access key", "NOT-A-REAL-SECRET-5", sensitive=True),
    },
    "google_drive": {
        "service_account_credentials": setting(1, "Service account", "NOT-A-REAL-SECRET-6", sensitive=True),
    },
    "jira": _cloud("https://jira.example.com", "NOT-A-REAL-SECRET-7"),
}


def default_rules(moment: str) -> Document:
    """Everything included: rules, advanced snippet and validation, as a new connector has them."""
    rule = {
        "created_at": moment,
        "field": "_",
        "id": "DEFAULT",
        "order": 0,
        "policy": "include",
        "rule": "regex",
        "updated_at": moment,
        "value": ".*",
    }
    return {
        "advanced_snippet": {"created_at": moment, "updated_at": moment, "value": {}},
        "rules": [rule],
        "validation": {"errors": [], "state": "valid"},
    }


def default_filtering(moment: str) -> list[Document]:
    return [{"active": default_rules(moment), "domain": "DEFAULT", "draft": default_rules(moment)}]


def new_connector(identity: str, filtering: list[Document], given: Document) -> Document:
    """A connector straight after its creation; ``given`` is the body of the request."""
    native = bool(given.get("is_native"))
    document: Document = {
        "id": identity,
        "configuration": {},
        "custom_scheduling": {},
        "deleted": False,
        "filtering": filtering,
        "index_name": given.get("index_name"),
        "is_native": native,
        **dict.fromkeys(_NULL_AT_FIRST),
        "name": given.get("name") or "",
        "scheduling": NO_SCHEDULE,
        "service_type": given.get("service_type"),
        "status": "needs_configuration" if native else "created",
        "sync_now": False,
    }
    document.update({key: given[key] for key in ("description", "language") if given.get(key) is not None})
    return document


def snapshot(connector: Document, job_type: str) -> Document:
    """The connector as a job keeps it (elastic.md §4)."""
    index = connector["index_name"]
    made = {
        "configuration": connector["configuration"],
        "filtering": connector["filtering"][0]["active"],
        "id": connector["id"],
        "index_name": f".search-acl-filter-{index}" if job_type == "access_control" else index,
        "service_type": connector["service_type"],
    }
    made.update({key: connector[key] for key in ("language", "pipeline", "sync_cursor") if connector.get(key)})
    return made


def new_job(identity: str, taken: Document, job_type: str, trigger: str, moment: str) -> Document:
    """A pending job, straight after its creation; ``taken`` is the snapshot of its connector."""
    return {
        "connector": taken,
        "created_at": moment,
        "deleted_document_count": 0,
        "id": identity,
        "indexed_document_count": 0,
        "indexed_document_volume": 0,
        "job_type": job_type,
        "last_seen": moment,
        "metadata": {},
        "status": "pending",
        "total_document_count": 0,
        "trigger_method": trigger,
    }
