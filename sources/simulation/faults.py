"""What can go wrong with the answers of a simulator, as data: switches, and edits of the JSON that it sends.

The simulators know nothing of faults. Which list an upstream answers with, and which of its entries is to suffer, is
told by whoever switches the fault on.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any


@dataclass(frozen=True, slots=True)
class Edit:
    """One change to every JSON answer to a path that ends in ``path``.

    ``at`` leads to the place, keys and numbers from the outside in; an answer without that place stays as it is.
    ``do`` names one of ``OPERATIONS``; of several edits of one list the one that makes it longer comes last.
    """

    path: str
    at: Sequence[str | int]
    do: str
    value: Any = None

    def __post_init__(self) -> None:
        if self.do not in OPERATIONS:
            raise ValueError(f"{self.do!r} is none of {', '.join(OPERATIONS)}")


@dataclass
class Faults:
    """What goes wrong with the answers of a simulator. Switch with ``POST /_simulator/faults`` or by hand in tests."""

    #: answer nothing at all until the client gives up
    hang: bool = False
    #: seconds before every answer
    delay: float = 0.0
    #: answer with this HTTP status and an HTML page, as a proxy in front would
    html_status: int | None = None
    #: answer 401 (or what the upstream says instead)
    reject_credentials: bool = False
    #: answer 429; ``retry_after`` seconds in the header, none when None
    rate_limited: bool = False
    retry_after: float | None = None
    #: send only the first half of each JSON body, with a matching length
    truncate: bool = False
    #: close the connection in the middle of the body
    disconnect: bool = False
    #: send each JSON body byte by byte, with so many seconds after each; 0 sends it at once
    drip: float = 0.0
    #: change the JSON that is sent
    edits: Sequence[Edit] = field(default_factory=list)
    #: so many answers are edited, all when None
    edited_answers: int | None = None
    #: query parameters that are not read: without the one that turns pages, one page repeats
    deaf_to: Sequence[str] = field(default_factory=list)
    #: seconds that the upstream's clock is ahead, or behind when negative
    skew: float = 0.0
    #: apply to paths that contain this text only; a clock is wrong on all of them
    path: str = ""

    def __post_init__(self) -> None:
        self.edits = [Edit(**edit) if isinstance(edit, Mapping) else edit for edit in self.edits]

    def edits_of(self, path: str) -> list[Edit]:
        """The edits for one answer to ``path``, which counts as edited if there are any."""
        edits = [edit for edit in self.edits if path.endswith(edit.path)] if self.edited_answers != 0 else []
        if edits and self.edited_answers is not None:
            self.edited_answers -= 1
        return edits


def edited(body: bytes, edits: Iterable[Edit]) -> bytes:
    """``body`` with the edits made. What is large is put in as text, so that it costs the event loop little."""
    root = [json.loads(body)]
    large: dict[str, bytes] = {}
    for edit in edits:
        *way, last = (0, *edit.at)
        try:
            holder: Any = root
            for step in way:
                holder = holder[step]
            if isinstance(holder, list):
                holder[int(last)]  # only objects get something new
            OPERATIONS[edit.do](holder, last, edit.value, partial(_stand_in, large))
        except (KeyError, IndexError, TypeError):
            continue
    sent = json.dumps(root[0]).encode()
    for mark, content in large.items():
        sent = sent.replace(json.dumps(mark).encode(), content)
    return sent


_Keep = Callable[[bytes], str]


def _stand_in(large: dict[str, bytes], content: bytes) -> str:
    mark = f"(large value {len(large)})"
    large[mark] = content
    return mark


def _put(holder: Any, key: Any, value: Any, _: _Keep) -> None:
    holder[key] = value


def _keep(holder: Any, key: Any, value: int, _: _Keep) -> None:
    holder[key] = holder[key][:value]


def _repeat(holder: Any, key: Any, value: int, keep: _Keep) -> None:
    entries = json.dumps(holder[key])[1:-1].encode()
    if entries:
        holder[key] = [keep(b", ".join([entries] * value))]


def _swell(holder: Any, key: Any, value: int, keep: _Keep) -> None:
    _repeat(holder, key, 1 + value // (2 + len(json.dumps(holder[key]))), keep)


def _fill(holder: Any, key: Any, value: int, keep: _Keep) -> None:
    holder[key] = keep(b'"' + b"x" * value + b'"')


#: name → what it does with the value there, or with the list there
OPERATIONS: Mapping[str, Callable[[Any, Any, Any, _Keep], None]] = {
    #: replace it
    "put": _put,
    #: cut the list after so many entries
    "keep": _keep,
    #: send the entries so many times over
    "repeat": _repeat,
    #: send the entries again and again, up to so many bytes
    "swell": _swell,
    #: a text of so many characters
    "fill": _fill,
}
