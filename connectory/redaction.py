"""What of an upstream's words may be shown: no secrets, and nothing of a size that nobody promised."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from connectory.http.errors import SourceMismatch

REDACTED = "[redacted]"
#: Names of keys whose values are secrets wherever they stand.
SECRET_KEY = re.compile(
    r"pass(word|wd|phrase)s?$|(^|[-_. ])pass$|secret|token|api[-_. ]?keys?$|private[-_. ]?key|credential|authorization|"
    r"connection[-_. ]?string|^pwd$|(access|account|shared)[-_. ]?key|^(set-)?cookies?$|signature$",
    re.IGNORECASE,
)
#: Secrets within a text: what stands before the @ of a URL, and what is assigned to a secret-looking name.
_SECRET_IN_URL = re.compile(r"(?<=://)[^/?#\s@:]*:[^/?#\s]*(?=@)")
_SECRET_ASSIGNED = re.compile(
    # what stands before that word in the name does not matter: to look for it would make the search quadratic
    r"(?i)((?:password|passwd|pwd|secret|token|api[-_]?key|access[-_]?key)=)[^\s&;,'\"]+"
)
_PLAIN = (int, float, type(None))
_OBJECT = (dict, Mapping)

#: What goes out of a text, and what stands in its place.
Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]
#: The whole of what stands before the @ of a URL: some programs take a token for the user.
USERS: Rule = (re.compile(r"(?<=://)[^/\s@]+@"), "")


def _everywhere(words: str) -> str:
    """``words``, fit for both stores (no NUL, no lone surrogate), without what is a secret in any text."""
    if not words.isascii() or "\x00" in words:
        words = words.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    if "://" in words and "@" in words:
        words = _SECRET_IN_URL.sub(REDACTED, words)
    if "=" in words:
        words = _SECRET_ASSIGNED.sub(rf"\1{REDACTED}", words)
    return words


#: Keys are few and come again and again.
_key = lru_cache(maxsize=4096)(_everywhere)


class Redactor:
    """Takes out secrets. What is one everywhere is known here; a kind of system says what else is one there.

    ``keys`` finds the names of keys whose values are secrets, beside those that SECRET_KEY finds. ``rules`` are for
    texts. ``pairs`` are the shapes in which a name stands beside its value: ``dict`` for ``{"name": …, "value": …}``,
    also with ``key``, and ``list`` for ``[name, value]``.
    """

    def __init__(
        self, *, keys: re.Pattern[str] | None = None, rules: Iterable[Rule] = (), pairs: Iterable[type] = ()
    ) -> None:
        self._keys = keys
        self._rules = tuple(rules)
        self._pairs = frozenset(pairs)
        self._shown = self._by_the_rules if self._rules else _everywhere
        #: whether a key's value is a secret
        self.names_a_secret = lru_cache(maxsize=4096)(self._names_a_secret)

    def _names_a_secret(self, key: str) -> bool:
        return SECRET_KEY.search(key) is not None or (self._keys is not None and self._keys.search(key) is not None)

    def text(self, value: object) -> str | None:
        """A string that both stores can hold and everybody may see. None and "" stay what they are.

        Raises SourceMismatch for what is no string.
        """
        if value is None:
            return None
        if not isinstance(value, str):
            raise SourceMismatch(f"expected text, got {type(value).__name__}: {str(value)[:80]!r}")
        return self._shown(value)

    def _by_the_rules(self, words: str) -> str:
        words = _everywhere(words)
        for pattern, replacement in self._rules:
            words = pattern.sub(replacement, words)
        return words

    def without_secrets(self, value: Any, key: str = "") -> Any:
        """A copy of a JSON value, which stands under ``key``: no secrets in texts, none under secret-looking keys."""
        if key and self.names_a_secret(key) and value not in (None, "", [], {}) and not isinstance(value, bool):
            return REDACTED
        if isinstance(value, str):
            return self._shown(value)
        if isinstance(value, _PLAIN):
            return value
        if isinstance(value, list):
            if list in self._pairs and len(value) == 2 and self._secret_among(value[0]):
                return [self._shown(value[0]), REDACTED]
            return [self.without_secrets(item) for item in value]
        if isinstance(value, _OBJECT):
            named = self._secret_among(value.get("key"), value.get("name")) if dict in self._pairs else None
            return {_key(k): self.without_secrets(v, named if named and k == "value" else k) for k, v in value.items()}
        return value

    def _secret_among(self, *names: object) -> str | None:
        return next((name for name in names if isinstance(name, str) and self.names_a_secret(name)), None)

    def unknown(self, value: Any, key: str = "") -> Any:
        """What stands under a key that nobody explains: without secrets, a note in its place when it is too large."""
        return self.without_secrets(bounded(value), key)

    def extra(self, sent: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any] | None:
        """What stands under the keys that this program does not know, see ``unknown``; None when there are none."""
        left_out = frozenset(known)
        return {key: self.unknown(value, key) for key, value in sent.items() if key not in left_out} or None


_REDACTOR = Redactor()
without_secrets = _REDACTOR.without_secrets
extra = _REDACTOR.extra
text = _REDACTOR.text

#: For texts that quote what a connector was configured with.
QUOTED = Redactor(rules=[USERS])

#: Characters of the JSON text of an unknown value, at most.
LARGEST_UNKNOWN = 1 << 16


def bounded(value: Any) -> Any:
    """An unknown JSON value, or a note in its place when its JSON text is longer than ``LARGEST_UNKNOWN``.

    Nobody promises how large such a value is, and everything that is shown is searched, held in memory and stored.
    A character counts as one even where JSON escapes it.
    """
    if isinstance(value, str):
        fits, size = len(value) + 2 <= LARGEST_UNKNOWN, f"{len(value):,}"
    elif isinstance(value, list | Mapping):
        # how much more there is would take a walk through all of it
        fits, size = _fits(value, LARGEST_UNKNOWN), f"more than {LARGEST_UNKNOWN:,}"
    else:
        return value
    return value if fits else f"[left out: {size} characters]"


def _fits(value: Any, room: int) -> bool:
    """Whether the compact JSON text of ``value`` has at most ``room`` characters; looks no further than these."""
    waiting = [value]
    while waiting and room >= 0:
        one = waiting.pop()
        if isinstance(one, str):
            room -= len(one) + 2
        elif isinstance(one, list | Mapping):
            values = one.values() if isinstance(one, Mapping) else ()
            # brackets, commas and colons
            room -= 1 + (len(one) + len(values) or 1)
            if room >= 0:
                waiting += [*one, *values]
        else:
            room -= len(str(one))
    return room >= 0
