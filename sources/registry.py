"""Which kinds of system there are: everything registered under the entry-point group ``connectory.sources``.

The built-in kinds enter by this door too. A plug-in that cannot be used is logged and remembered, and takes no other
kind with it.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from sources.base import SourceKind, SystemSettings

GROUP = "connectory.sources"
#: The distribution that brings the built-in kinds; nobody takes a name from it.
_OWN = "connectory"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Registry:
    """What was found: the usable kinds by name, and by name why another one cannot be used."""

    kinds: Mapping[str, SourceKind]
    problems: Mapping[str, str]


def kinds() -> Mapping[str, SourceKind]:
    """The usable kinds by name."""
    return registry().kinds


def problems() -> Mapping[str, str]:
    """By the name of a kind that is registered and unusable: a sentence that names the distribution and the reason."""
    return registry().problems


@cache
def registry() -> Registry:
    return load(entry_points(group=GROUP))


def load(entries: Iterable[EntryPoint]) -> Registry:
    """The registry of these entry points. Never raises for what a plug-in does; built-in kinds come first."""
    kinds: dict[str, SourceKind] = {}
    problems: dict[str, str] = {}
    owners: dict[str, str] = {}
    contested: set[str] = set()
    for entry in sorted(entries, key=lambda entry: (_owner(entry) != _OWN, _distribution(entry), entry.name)):
        try:
            kind = _load_one(entry)
        except _Unusable as error:
            problems.setdefault(entry.name, str(error))
            _warn(entry, str(error))
            continue
        if kinds.setdefault(kind.name, kind) is kind:
            owners[kind.name] = _distribution(entry)
            continue
        reason = f'the kind "{kind.name}" is registered by {owners[kind.name]} and again by {_distribution(entry)}'
        if not owners[kind.name].startswith(f"{_OWN} "):
            contested.add(kind.name)
            problems[kind.name] = f"{reason}; uninstall one of them"
        _warn(entry, reason)
    # of two strangers neither wins by the accident of its name
    return Registry({name: kind for name, kind in kinds.items() if name not in contested}, problems)


class _Unusable(Exception):
    """This entry point gives no kind."""


def _load_one(entry: EntryPoint) -> SourceKind:
    who = f'"{entry.name}" of {_distribution(entry)}'
    try:
        found = entry.load()
    # a plug-in may do anything while it is imported, and even then the others have to work
    except (Exception, SystemExit) as error:
        raise _Unusable(f"{who} cannot be imported: {type(error).__name__}: {error}") from error
    if not isinstance(found, SourceKind):
        raise _Unusable(f"{who} is a {type(found).__name__}; {entry.value} has to be a sources.base.SourceKind")
    if found.name != entry.name:
        raise _Unusable(f'{who} calls itself "{found.name}"; the two names have to be the same')
    if not (isinstance(found.settings, type) and issubclass(found.settings, SystemSettings)):
        raise _Unusable(f"{who} has settings that do not inherit from sources.base.SystemSettings")
    return found


def _owner(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else ""


def _distribution(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "an unknown distribution"


def _warn(entry: EntryPoint, reason: str) -> None:
    log.warning(
        "A source plug-in is left out: %s",
        reason,
        extra={"action": "source.unusable", "kind": entry.name, "distribution": _distribution(entry)},
    )
