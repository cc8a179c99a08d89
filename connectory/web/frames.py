"""Frames of WebSockets, below the messages: a client's are masked, few of them carry nothing, and each turn of the loop
takes some of them only.
"""

import time
from collections.abc import Callable

from aiohttp.http_websocket import WebSocketReader

#: Frames that are handed on at once.
AT_ONCE = 16
#: Frames that one message may come in.
MOST_FRAMES = 4_096
#: Pings, pongs and their like that a client may send within so many seconds.
MOST_CONTROL, CONTROL_WITHIN = 100, 10.0

#: Bytes of the shortest header of a frame, of a masking key, and of a length that is told apart, by what stands for it.
_SHORTEST_HEADER, _MASK, _EXTENDED = 2, 4, {126: 2, 127: 8}
_LAST, _CONTROL, _MASKED = 0x80, 0x08, 0x80
_BROKEN_FRAME = b"\x70\x00"


class MaskedFrames:
    """Hands a client's frames on to ``reader`` for as long as they are masked. With the first one that is not, the
    connection ends, as RFC 6455 §5.1 demands: a page that could choose the bytes on the wire could poison a cache.

    It ends too for who sends frames that are nothing but work.
    """

    __slots__ = (
        "_control", "_control_since", "_held", "_is_broken", "_is_last", "_left", "_message", "_message_frames", "_now",
        "_reader", "is_behind", "is_flooding",
    )  # fmt: skip

    def __init__(self, reader: WebSocketReader, now: Callable[[], float] = time.monotonic) -> None:
        self._reader = reader
        self._now = now
        #: what is not handed on: a header that is not complete, or what follows the frames of this turn
        self._held = b""
        #: whether there are frames to hand on; an empty feed does so
        self.is_behind = False
        #: bytes until the next frame begins
        self._left = 0
        self._is_broken = False
        self.is_flooding = False
        #: of the message that is arriving: bytes of the frames that have begun, their number, whether one was the last
        self._message = 0
        self._message_frames = 0
        self._is_last = True
        #: control frames since then
        self._control, self._control_since = 0, 0.0

    @property
    def arriving(self) -> int:
        """Bytes that are here of a message that is not complete."""
        return 0 if self._is_last and not self._left else self._message - min(self._left, self._message) + 1

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        if self._is_broken:
            return True, b""
        data = self._held + data
        fit = self._fit(data)
        self._held = data[fit:]
        result: tuple[bool, bytes] = self._reader.feed_data(data[:fit])
        if self._is_broken:
            # the reader, which keeps what it reads to itself, takes reserved bits for a broken protocol: 1002
            result = self._reader.feed_data(_BROKEN_FRAME)
        return result

    def feed_eof(self) -> None:
        self._reader.feed_eof()

    def _fit(self, data: bytes) -> int:
        """How many bytes may be handed on: up to a header that is not complete or not of a frame to take, or as many
        frames as a turn takes."""
        place, end, frames = self._left, len(data), 0
        self.is_behind = False
        while end - place >= _SHORTEST_HEADER:
            if frames == AT_ONCE:
                self.is_behind = True
                break
            flags = data[place + 1]
            length = flags & ~_MASKED
            extended = _EXTENDED.get(length, 0)
            begin = place + _SHORTEST_HEADER + extended
            if flags & _MASKED and begin > end:
                break
            if extended:
                length = int.from_bytes(data[begin - extended : begin], "big")
            if not flags & _MASKED or self._is_too_much(data[place], length):
                self._is_broken = True
                self._left = 0
                return place
            frames += 1
            place = begin + _MASK + length
        self._left = max(0, place - end)
        return min(place, end)

    def _is_too_much(self, first: int, length: int) -> bool:
        """Counts one frame more."""
        if first & _CONTROL:
            now = self._now()
            if now - self._control_since > CONTROL_WITHIN:
                self._control, self._control_since = 0, now
            self._control += 1
            self.is_flooding = self._control > MOST_CONTROL
        else:
            if self._is_last:
                self._message = self._message_frames = 0
            self._is_last = bool(first & _LAST)
            self._message += length
            self._message_frames += 1
            self.is_flooding = self._message_frames > MOST_FRAMES
        return self.is_flooding
