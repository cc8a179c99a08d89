"""JSON as RFC 8259 has it, from somebody who may mean no good."""

import json
import math
import re
from typing import Any, NoReturn

from connectory.execution.bad_request import BadRequest
from connectory.limits import how_to_raise

#: Of a whole number: no argument takes one of more than twenty, and Python none of more than some thousands.
_MOST_DIGITS = 1_000
_TEXTS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


class _Unfit(ValueError):
    """Python would take it."""


def decode(text: str, what: str, most: int) -> Any:
    """``text`` as JSON of ``most`` values; ``what`` names it in the refusal. Raises BadRequest."""
    if _count(text) > most and _count(_TEXTS.sub("", text)) > most:
        setting = "values_per_request"
        message = f"{what} holds more than {most:,} values; send less at once, or {how_to_raise(setting)}."
        raise BadRequest(message, setting=setting)
    try:
        found = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise BadRequest(f"{what} is not valid JSON: see line {error.lineno}, column {error.colno}.") from None
    except _Unfit as error:
        raise BadRequest(f"{what} is not valid JSON: {error}.") from None
    except RecursionError:
        raise BadRequest(f"{what} is not valid JSON: it is nested too deeply.") from None
    if "\\u" in text:
        check_unicode(found)
    return found


def _count(text: str) -> int:
    """What separates values and what begins a list or an object: as much as there are values, or a little more."""
    return text.count(",") + text.count("[") + text.count("{")


def _refuse_constant(constant: str) -> NoReturn:
    raise _Unfit(f"{constant} is no number of JSON")


def _integer(text: str) -> int:
    if (digits := len(text.lstrip("-"))) > _MOST_DIGITS:
        raise _Unfit(f"a number of {digits:,} digits is too long")
    return int(text)


def _finite(text: str) -> float:
    if math.isinf(number := float(text)):
        raise _Unfit(f"{text[:20]} is too large")
    return number


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a key that stands twice, whoever has read the request before us may have seen the other value."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Unfit("a key stands twice in one object")
    return found


_DECODER = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_finite, parse_int=_integer, object_pairs_hook=_unambiguous
)


def check_unicode(found: Any) -> None:
    """Half a surrogate pair is no character: no store takes it and no answer could repeat it. Raises BadRequest."""
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        raise BadRequest("The request holds half of a surrogate pair, which is no character.") from None
