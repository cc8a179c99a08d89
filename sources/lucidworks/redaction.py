"""What of Lucidworks' words may be shown, and how they are read."""

import re
from collections.abc import Iterable
from typing import Any

from connectory.redaction import REDACTED, USERS, Redactor
from sources.reading import Reader

#: Names of settings that hold credentials beside those that look secret everywhere (lucidworks.md §3).
_CREDENTIALS = re.compile(
    r"^auth$|^auths$|password|account_?key|shared_?key|consumer_?key|signature|cookie|session_?id", re.IGNORECASE
)
#: In a URL or a connection string: the value after ``password=`` and its like.
#: What stands before that word in the name does not matter: to look for it would make the search quadratic.
_ASSIGNED = re.compile(r"(?i)(password|passwd|pwd|secret|token|account_?key|access_?key|signature)\s*=\s*[^&;,\s]+")

#: Settings of some crawlers come as pairs of a name and a value.
_REDACTOR = Redactor(keys=_CREDENTIALS, rules=[USERS, (_ASSIGNED, rf"\1={REDACTED}")], pairs=[dict])
redacted = _REDACTOR.text


def plain_text(value: object) -> str | None:
    """Text without credentials; None when there is none or it is empty."""
    return redacted(value) or None


def rest(entry: Reader, known: Iterable[str]) -> dict[str, Any]:
    """Everything under other keys, without secrets; a note in the place of what is too large."""
    return _REDACTOR.extra(entry.sent, known) or {}
