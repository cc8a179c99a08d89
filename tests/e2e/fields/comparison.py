"""Each value that was sent, against what stands in the place that a table names for its key."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from sources.base import SourceMismatch
from sources.reading import instant
from tests.e2e.fields.exceptions import EXCEPTIONS


@dataclass(frozen=True)
class Place:
    """Where something else than the value itself stands, and what that is for the value that was sent."""

    path: str
    expected: Callable[[Any], Any]


Places = str | Place | tuple[str | Place, ...]
#: Key → where its value is. The key of an inner object is ``outer.inner``, and ``outer`` alone is the whole object.
#: Places are paths from {"connector": …, "job": …}.
Table = Mapping[str, Places]


def under(prefix: str, *keys: str, **renamed: str) -> dict[str, Places]:
    """Keys that keep their names below ``prefix``, and those that stand there under another one."""
    return {key: f"{prefix}.{name}" for key, name in (*zip(keys, keys, strict=True), *renamed.items())}


def differences(about: str, nodes: Mapping[str, Any], sent: Mapping[str, Any], table: Table) -> list[str]:
    """What is not told, or told differently, line by line. ``about`` begins the names of the exceptions that hold."""
    return list(_differences(about, nodes, sent, table, ""))


def _differences(
    about: str, nodes: Mapping[str, Any], sent: Mapping[str, Any], table: Table, prefix: str
) -> Iterator[str]:
    for key, value in sent.items():
        path = f"{prefix}{key}"
        inner = [place for name, place in table.items() if name.startswith(f"{path}.")]
        if path in table:
            yield from _told_elsewhere(path, nodes, value, table[path])
        elif is_exception(about, path):
            if isinstance(value, str) and len(value) > 8 and json.dumps(value) in json.dumps(nodes):
                yield f"{path}: an exception, and shown"
        elif isinstance(value, Mapping) and (inner or _has_exceptions_inside(about, path)):
            yield from _differences(about, nodes, value, table, f"{path}.")
        elif value is None and inner:
            for place in inner:
                yield from _told_elsewhere(path, nodes, None, place)
        else:
            yield f"{path}: in no table"


def _told_elsewhere(path: str, nodes: Mapping[str, Any], value: Any, places: Places) -> Iterator[str]:
    for place in places if isinstance(places, tuple) else (places,):
        where, expected = (place, value) if isinstance(place, str) else (place.path, place.expected(value))
        found = at(nodes, where)
        if not same(found, expected):
            yield f"{path} → {where}: sent {value!r}, told {found!r}"


def is_exception(about: str, path: str) -> bool:
    return any(fnmatchcase(f"{about}: {path}", name) for name in EXCEPTIONS)


def _has_exceptions_inside(about: str, path: str) -> bool:
    names = (name.split(": ") for name in EXCEPTIONS)
    return any(fnmatchcase(about, whose) and where.startswith(f"{path}.") for whose, where in names)


NOWHERE = "<nowhere>"


def at(node: Any, path: str) -> Any:
    """The value at a path. Keys may hold dots: the shortest key that exists is taken. ``NOWHERE`` where there is none,
    None where something on the way is null."""
    if not path:
        return node
    parts = path.split(".")
    if node is None:
        return None
    for end in range(1, len(parts) + 1):
        key = ".".join(parts[:end])
        if isinstance(node, Mapping) and key in node:
            return at(node[key], ".".join(parts[end:]))
    return NOWHERE


def same(shown: Any, sent: Any) -> bool:
    """Whether GraphQL's value is the upstream's: the same, the same word as an enum value, or the same moment."""
    if json.dumps(shown, sort_keys=True) == json.dumps(sent, sort_keys=True):
        return True
    if not isinstance(shown, str) or sent is None or isinstance(sent, bool):
        return False
    if shown in (str(sent), str(sent).upper()):
        return True
    try:
        return datetime.fromisoformat(shown) == instant(sent)
    except (ValueError, SourceMismatch):
        return False
