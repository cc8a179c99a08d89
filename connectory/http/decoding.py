"""JSON texts of any size, read without holding the event loop."""

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

#: Characters of a text that are decoded between two turns of the event loop: some milliseconds with mapping.
_CHARACTERS_PER_TURN = 1 << 15


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


_scan = json.JSONDecoder(parse_constant=_refuse).raw_decode
_SPACE = re.compile(r"[ \t\n\r]*")


async def decode(raw: bytes, each: Callable[[Any], Any] | None = None) -> Any:
    """The value of a JSON text as RFC 8259 has it: NaN and Infinity are refused. Raises ValueError.

    A large text gives the event loop its turns. ``each`` takes every entry of a list within an object as soon as it is
    decoded, and what it returns stands in the entry's place: so the entries of a large answer are never in memory all
    at once, where they would cost a full garbage collection, which holds the event loop longer than the decoding does.
    """
    try:
        return await _JsonReader(raw.decode(json.detect_encoding(raw), "surrogatepass"), each).read()
    except RecursionError:
        raise ValueError("nested too deeply") from None


class _JsonReader:
    """Reads a JSON text piece by piece, to the same value as ``json.loads``.

    A thread would be no help: the parser is one call that keeps the interpreter to itself. So the outer objects and
    lists are walked here, and the entries of the lists in them, small and many, are left to the parser one by one.
    """

    def __init__(self, text: str, each: Callable[[Any], Any] | None) -> None:
        self._text = text
        self._each = each
        self._at = 0
        self._turn = _CHARACTERS_PER_TURN

    async def read(self) -> Any:
        if len(self._text) <= _CHARACTERS_PER_TURN and self._each is None:
            value = self._piece()
        else:
            value = await self._value(0)
        if self._next():
            raise ValueError("more than one value")
        return value

    def _next(self) -> str:
        """The next character that is no space, which stays unread; "" at the end."""
        space = _SPACE.match(self._text, self._at)
        assert space is not None
        self._at = space.end()
        return self._text[self._at : self._at + 1]

    def _take(self, *expected: str) -> str:
        found = self._next()
        if found not in expected:
            raise ValueError(f"expected {' or '.join(expected)}")
        self._at += 1
        return found

    def _piece(self) -> Any:
        self._next()
        value, self._at = _scan(self._text, self._at)
        return value

    async def _value(self, depth: int) -> Any:
        opening = self._next()
        if opening == "{" and depth < 3:
            return await self._object(depth)
        if opening == "[" and depth < 3:
            return await self._list(depth)
        return self._piece()

    async def _object(self, depth: int) -> dict[str, Any]:
        read: dict[str, Any] = {}
        self._take("{")
        if self._next() == "}":
            self._take("}")
            return read
        while True:
            if self._next() != '"':
                raise ValueError("expected a name")
            name = self._piece()
            self._take(":")
            read[name] = await self._value(depth + 1)
            if self._take(",", "}") == "}":
                return read

    async def _list(self, depth: int) -> list[Any]:
        read: list[Any] = []
        self._take("[")
        if self._next() == "]":
            self._take("]")
            return read
        while True:
            # entries of the outermost list are taken for objects that hold the lists
            read.append(self._entry() if depth else await self._value(1))
            if self._take(",", "]") == "]":
                return read
            if self._at >= self._turn:
                self._turn = self._at + _CHARACTERS_PER_TURN
                await asyncio.sleep(0)

    def _entry(self) -> Any:
        value = self._piece()
        return value if self._each is None else self._each(value)
