"""Cursors of the change log: the store's id, a position, and the mark of the row there.

Each commit draws one mark for the rows that it writes. Two logs that were one until a backup was restored differ in
their marks from there on, although their positions and the store's id are equal.
"""

import base64
import binascii
import secrets
import struct
from dataclasses import dataclass

#: The store of a cursor that names none: the version before told positions alone.
NO_STORE = 0
#: What cursors begin with: their form, the store, the mark. The position follows, in as many bytes as it takes.
_HEAD = struct.Struct(">BII")
_FORM = 1
#: Positions have 64 bits at most.
_LONGEST = _HEAD.size + 8
#: ``log:`` and a position in decimal digits.
_BEFORE = b"log:"
_LONGEST_BEFORE = len(_BEFORE) + 19


def draw() -> int:
    """A number for a mark, or for a store, that nobody can tell beforehand: positive, and of 31 bits."""
    return 1 + secrets.randbelow(2**31 - 1)


@dataclass(frozen=True, slots=True)
class Place:
    """A position of one store's log."""

    position: int
    #: None where no row is, where it is not known, and of rows from before version 0009
    mark: int | None
    store: int

    @property
    def cursor(self) -> str:
        """Opaque text, which ``read_cursor`` reads."""
        size = (self.position.bit_length() + 7) // 8
        packed = _HEAD.pack(_FORM, self.store, self.mark or 0) + self.position.to_bytes(size, "big")
        return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def read_cursor(cursor: str) -> Place:
    """The place in a cursor, whose position has 64 bits at most. Raises ValueError for anything else."""
    packed = _unpacked(cursor)
    if packed.startswith(_BEFORE):
        return Place(_digits(packed.removeprefix(_BEFORE)), None, NO_STORE)
    if not _HEAD.size <= len(packed) <= _LONGEST or packed[0] != _FORM:
        raise ValueError("not a cursor of the change log")
    _, store, mark = _HEAD.unpack_from(packed)
    if store == NO_STORE:
        raise ValueError("a cursor of no store")
    return Place(int.from_bytes(packed[_HEAD.size :], "big"), mark or None, store)


def _unpacked(cursor: str) -> bytes:
    if len(cursor) > 2 * max(_LONGEST, _LONGEST_BEFORE):
        raise ValueError("too long for a cursor")
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise ValueError("not a cursor") from None


def _digits(text: bytes) -> int:
    if not text.isdigit() or len(text) > 19:
        raise ValueError("not a position")
    return int(text)
