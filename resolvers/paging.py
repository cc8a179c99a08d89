"""Pages: by cursor in both directions, or by number."""

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connectory.model import DescribedEnum
from resolvers.arguments import MAXIMUM_SIZE, BadUserInput

DEFAULT_SIZE = 25


def given(cursor: str | None) -> str | None:
    """The cursor that a client goes on from; None for an empty one, which is none."""
    return cursor or None


@dataclass(frozen=True, slots=True)
class PageArguments:
    """The five arguments of a list field. An empty cursor is none, as an empty filter is no criterion."""

    first: int | None = None
    after: str | None = None
    last: int | None = None
    before: str | None = None
    offset: int | None = None

    def __post_init__(self) -> None:
        for name in ("after", "before"):
            object.__setattr__(self, name, given(getattr(self, name)))

    @property
    def size(self) -> int:
        """Rows of the page, at most."""
        return DEFAULT_SIZE if self.first is None and self.last is None else self.first or self.last or 0

    @property
    def backwards(self) -> bool:
        """Whether it is read from the end of the list."""
        return self.last is not None

    def check(self) -> None:
        """Raises BadUserInput for arguments that contradict each other or are out of bounds."""
        for name, value in (("first", self.first), ("last", self.last)):
            if value is not None and not 1 <= value <= MAXIMUM_SIZE:
                raise BadUserInput(f"'{name}' must be from 1 to {MAXIMUM_SIZE}, not {value}.")
        if self.first is not None and self.last is not None:
            raise BadUserInput("Give 'first' or 'last', not both.")
        if self.offset is not None:
            if self.after is not None or self.before is not None:
                raise BadUserInput("'offset' cannot be combined with 'after' or 'before'.")
            if self.last is not None:
                raise BadUserInput("'offset' counts from the start: combine it with 'first', not with 'last'.")
            if self.offset < 0:
                raise BadUserInput(f"'offset' must not be negative, not {self.offset}.")


@dataclass(slots=True)
class PageInfo:
    """Relay's, as is Edge."""

    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


@dataclass(slots=True)
class Edge:
    """A record and its cursor."""

    cursor: str
    node: Any


@dataclass(slots=True)
class FacetCount:
    """A value, and how many rows have it."""

    value: str | None
    count: int


def encode_cursor(place: str, value: Any, key: str, store: int) -> str:
    """An opaque cursor: the position (value, key) in the list and order that ``place`` names, and the store's id."""
    if isinstance(value, DescribedEnum):
        value = value.value
    elif isinstance(value, datetime):
        value = value.isoformat()
    packed = json.dumps([place, value, key, store], separators=(",", ":"))
    return base64.urlsafe_b64encode(packed.encode()).decode().rstrip("=")


def decode_cursor(cursor: str, place: str, argument: str, store: int) -> tuple[Any, str]:
    """The position that ``encode_cursor`` packed. Raises BadUserInput for a cursor that is not of this list, or of
    another store; those of the version before name none, and are believed."""
    try:
        packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        of, value, key, *named = json.loads(packed)
    except (ValueError, TypeError, RecursionError):
        raise not_ours(argument) from None
    if of != place:
        raise BadUserInput(f"'{argument}' is a cursor of another list or of another order.")
    if named and (len(named) > 1 or not is_long(named[0])):
        raise not_ours(argument)
    if named and named != [store]:
        raise BadUserInput(f"'{argument}' is a cursor of another store.")
    if not _is_storable(key) or (isinstance(value, str) and not _is_storable(value)):
        raise not_ours(argument)
    return value, key


def not_ours(argument: str) -> BadUserInput:
    """What somebody is told who made up a cursor, or damaged one."""
    return BadUserInput(f"'{argument}' is not a cursor that this API gave out.")


def is_long(value: object) -> bool:
    """Whether it is a whole number of 64 bits."""
    return type(value) is int and -(2**63) <= value < 2**63


def _is_storable(text: object) -> bool:
    """Whether both stores can look for it: text without NUL and without half a surrogate pair."""
    if not isinstance(text, str) or "\x00" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
