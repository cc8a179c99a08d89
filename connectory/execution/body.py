"""The body of a request: its type, its size, and what it was packed with.

It is unpacked as it comes, and no further than it may be long: a megabyte can stand for a thousand.
"""

import asyncio
import zlib

from aiohttp import hdrs, web

from connectory.execution.answer import JSON
from connectory.execution.bad_request import BadRequest
from connectory.limits import how_to_raise

#: Of bodies that are not sent as they are.
CODINGS = ("gzip", "deflate")
UNKNOWN_CODING = f"The body may be encoded as {' or '.join(CODINGS)}."
#: Seconds that a body may take to arrive.
WITHIN = 30.0
#: Bytes that are unpacked before everybody else has a turn.
_AT_ONCE = 1 << 16
#: Of zlib: the largest window, with the head of gzip or of zlib, or without any.
_GZIP, _ZLIB, _BARE = 31, 15, -15


async def read_text(request: web.Request, most: int) -> str:
    """The text of a body of JSON that has ``most`` bytes at most, packed and unpacked. Raises BadRequest."""
    coding = _coding(request)
    try:
        async with asyncio.timeout(WITHIN):
            return (await _receive(request, coding, most)).decode("utf-8")
    except TimeoutError:
        raise BadRequest(f"The body has not come within {WITHIN:g} s.", status=408) from None
    except UnicodeDecodeError:
        raise BadRequest("The body is not UTF-8 text.") from None
    except (web.RequestPayloadError, zlib.error):
        raise BadRequest("The body cannot be read.") from None


def _coding(request: web.Request) -> str:
    """Raises BadRequest for a body that is not to be read."""
    sent = request.headers.get(hdrs.CONTENT_TYPE)
    if request.content_type != JSON or sent is None:
        raise BadRequest(
            f"The body has to be {JSON}"
            + (f", not {request.content_type}." if sent else "; no Content-Type was sent."),
            status=415,
        )
    if (request.charset or "utf-8").lower() not in ("utf-8", "utf8"):
        raise BadRequest("The body has to be UTF-8.", status=415)
    coding = request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower()
    if coding not in ("identity", *CODINGS):
        raise BadRequest(UNKNOWN_CODING, status=415)
    return coding


async def _receive(request: web.Request, coding: str, most: int) -> bytes:
    """Raises BadRequest; zlib.error for what is not packed as it says."""
    if (request.content_length or 0) > most:
        raise _too_large(most)
    pieces: list[bytes] = []
    try:
        await _gather(request, coding, most, pieces)
        return b"".join(pieces)
    finally:
        pieces.clear()  # a failure is remembered with what led to it, until the collector comes


async def _gather(request: web.Request, coding: str, most: int, pieces: list[bytes]) -> None:
    sent = size = 0
    unpacking = None
    async for piece in request.content.iter_any():
        sent += len(piece)
        if coding not in CODINGS:
            pieces.append(piece)
        else:
            unpacking = unpacking or zlib.decompressobj(_window(coding, piece))
            while piece and size <= most:
                pieces.append(unpacking.decompress(piece, _AT_ONCE))
                size += len(pieces[-1])
                piece = unpacking.unconsumed_tail
                await asyncio.sleep(0)
        if max(sent, size) > most:
            raise _too_large(most)
    if coding in CODINGS and (unpacking is None or not unpacking.eof or unpacking.unused_data):
        raise zlib.error


def _window(coding: str, begin: bytes) -> int:
    """Of ``deflate``, which by RFC 9110 is zlib's format, some send what is inside it."""
    if coding == "gzip":
        return _GZIP
    return _ZLIB if begin[0] & 0x0F == zlib.DEFLATED else _BARE


def _too_large(most: int) -> BadRequest:
    setting = "body_bytes"
    message = f"The body has more than {most:,} bytes, as sent or unpacked; send less, or {how_to_raise(setting)}."
    return BadRequest(message, status=413, setting=setting)
