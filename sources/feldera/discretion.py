"""Keeps secrets out of what Feldera shows: connectors' configurations hold credentials, and error texts quote them."""

import re
from collections.abc import Mapping
from typing import Any

from sources.base import REDACTED, SECRET_KEY, text

#: Keys of transports that hold secrets and that ``sources.base.SECRET_KEY`` does not name: PEM texts, JAAS lines,
#: keys of accounts and certificates. Keys of tables and partitions are none.
_SECRET_OF_A_TRANSPORT = re.compile(
    r"pem$|jaas|signature|service_?account|account_?key|access[._-]key|cookie|^(nkey|jwt)$|"
    r"(?<!primary)(?<!partition)(?<!sort)(?<!hash)[._-]key$",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"(?<=://)[^/\s@]+@")
_HEADER = re.compile(r"\b(?P<scheme>Bearer|Basic)\s+(?!\w+=\")(?=\S*[\d.+/=~])[\w.~+/=-]{8,}", re.IGNORECASE)
#: ``password=…`` in connection strings, JAAS lines and the queries of signed URLs, and ``"password": …`` in JSON.
#: Names longer than this are none; the bound keeps the search linear.
_ASSIGNED = re.compile(
    r"""(?<![\w.-])(?P<key>[\w.-]{1,80})(?P<sign>\s{0,8}=\s{0,8}|["']\s{0,8}:\s{0,8})(?:"[^"]*"|'[^']*'|[^&;,\s"']+)"""
)


def discreet(value: object) -> str | None:
    """Text without users and passwords of URLs and without what is assigned to secret-looking names."""
    said = text(value)
    return _mask(said) if said else said


def _mask(said: str) -> str:
    said = _HEADER.sub(rf"\g<scheme> {REDACTED}", _USERINFO.sub("", said))
    return _ASSIGNED.sub(_mask_assigned, said)


def _mask_assigned(found: re.Match[str]) -> str:
    secret = _is_secret(found["key"]) or found["key"].lower() == "sig"
    return f"{found['key']}{found['sign']}{REDACTED}" if secret else found[0]


def stripped(value: Any, key: str = "") -> Any:
    """A copy of a JSON value without secrets, fit for both stores. Whatever stands under a secret-looking key is
    replaced, also in pairs such as ``{"key": "Authorization", "value": …}`` and ``["Authorization", …]``."""
    if _is_secret(key) and value not in (None, "", [], {}) and not isinstance(value, bool):
        return REDACTED
    if isinstance(value, Mapping):
        named = value.get("key", value.get("name"))
        paired = isinstance(named, str) and _is_secret(named)
        return {text(k): stripped(v, str(named) if paired and k == "value" else str(k)) for k, v in value.items()}
    if isinstance(value, list):
        if len(value) == 2 and isinstance(value[0], str) and _is_secret(value[0]):
            return [text(value[0]), REDACTED]
        return [stripped(item) for item in value]
    return discreet(value) if isinstance(value, str) else value


def _is_secret(key: str) -> bool:
    return bool(SECRET_KEY.search(key) or _SECRET_OF_A_TRANSPORT.search(key))
