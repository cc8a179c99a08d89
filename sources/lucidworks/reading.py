"""Reading what Lucidworks sent, value by value: one that cannot be read is left out and noted, the rest is kept."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from sources import base
from sources.base import REDACTED, SECRET_KEY, SourceMismatch, bounded

#: Names of settings that hold credentials beside those that look secret everywhere (lucidworks.md §3).
_CREDENTIALS = re.compile(
    r"^auth$|^auths$|password|account_?key|shared_?key|consumer_?key|signature|cookie|session_?id", re.IGNORECASE
)
#: In a URL: ``user:password@``. In a URL or a connection string: the value after ``password=`` and its like.
_USERINFO = re.compile(r"(?<=://)[^/\s@]+@")
#: What stands before that word in the name does not matter: to look for it would make the search quadratic.
_ASSIGNED = re.compile(r"(?i)(password|passwd|pwd|secret|token|account_?key|access_?key|signature)\s*=\s*[^&;,\s]+")

_T = TypeVar("_T")


class Entry:
    """One JSON object. ``complaints`` gathers what could not be read, each naming its key.

    Raises SourceMismatch when it is no object.
    """

    def __init__(self, sent: object, complaints: list[str] | None = None) -> None:
        if not isinstance(sent, Mapping):
            raise SourceMismatch(f"expected an object, got {type(sent).__name__}")
        self.sent: Mapping[str, Any] = sent
        self.complaints = [] if complaints is None else complaints

    def _read(self, key: str, reader: Callable[[object], _T | None]) -> _T | None:
        try:
            return reader(self.sent.get(key))
        except SourceMismatch as error:
            self.complaints.append(f"{key}: {error}")
            return None

    def text(self, key: str) -> str | None:
        """Text without credentials; None when absent or empty."""
        return self._read(key, _discreet) or None

    def count(self, key: str) -> int | None:
        return self._read(key, base.count)

    def flag(self, key: str) -> bool | None:
        return self._read(key, base.flag)

    def instant(self, key: str) -> datetime | None:
        return self._read(key, base.instant)

    def identifier(self, key: str) -> str | None:
        """An id as text: it is a number in some versions and text in others (lucidworks.md §12.1)."""
        return self._read(key, identifier)

    def inner(self, key: str) -> "Entry":
        """The object under ``key``; an empty one when it is absent. They share their complaints."""
        value = self.sent.get(key)
        try:
            return Entry({} if value is None else value, self.complaints)
        except SourceMismatch as error:
            self.complaints.append(f"{key}: {error}")
            return Entry({}, self.complaints)

    def rest(self, known: Iterable[str]) -> dict[str, Any]:
        """Everything under other keys, without secrets; a note in the place of what is too large."""
        left_out = frozenset(known)
        others = {str(key): bounded(value) for key, value in self.sent.items() if key not in left_out}
        return {key: without_secrets(value, key) for key, value in others.items()}


def identifier(value: object) -> str | None:
    """Raises SourceMismatch for what is neither text nor a whole number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return base.text(value) or None


def _discreet(value: object) -> str | None:
    said = base.text(value)
    return discreet(said) if said else said


def discreet(said: str) -> str:
    """Text without the credentials of URLs and connection strings that it quotes."""
    if "://" in said:
        said = _USERINFO.sub("", said)
    return _ASSIGNED.sub(rf"\1={REDACTED}", said) if "=" in said else said


def without_secrets(value: Any, key: str = "") -> Any:
    """A copy of a JSON value without what stands under a key of credentials, and without credentials inside of text.

    Settings of some crawlers come as pairs of a name and a value; these are looked at, too.
    """
    if _is_secret(key) and value not in (None, "", [], {}) and not isinstance(value, bool):
        return REDACTED
    if isinstance(value, Mapping):
        named = next((value[k] for k in ("name", "key") if isinstance(value.get(k), str)), "")
        return {
            str(k): without_secrets(v, named if k == "value" and _is_secret(named) else k) for k, v in value.items()
        }
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    return _discreet(value) if isinstance(value, str) else value


def _is_secret(key: str) -> bool:
    return bool(key) and (SECRET_KEY.search(key) or _CREDENTIALS.search(key)) is not None
