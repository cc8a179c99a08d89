"""Relay global ids: the same connector has the same id after a restart and in another store."""

import base64
import binascii

SYSTEM, CONNECTOR, JOB, NOTICE = "System", "Connector", "Job", "Notice"


def global_id(type_name: str, system: str, external_id: str | None = None) -> str:
    """The opaque id of a system, or of what it calls ``external_id``."""
    plain = f"{type_name}:{system}" if external_id is None else f"{type_name}:{system}:{external_id}"
    return base64.b64encode(plain.encode("utf-8", "surrogatepass")).decode()


def type_of(node_id: str) -> str | None:
    """The type name in a global id; None when it is malformed."""
    try:
        plain = base64.b64decode(node_id, validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    type_name, colon, rest = plain.partition(":")
    return type_name if colon and rest and type_name in (SYSTEM, CONNECTOR, JOB, NOTICE) else None


def external_id(node_id: str) -> str:
    """What the upstream calls it: the inverse of ``global_id`` for connectors and jobs."""
    return base64.b64decode(node_id).decode("utf-8", "surrogatepass").split(":", 2)[2]
