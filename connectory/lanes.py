"""The lanes of the store's connections: what each is for, and how many a gateway takes in all."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum, auto


class Lane(StrEnum):
    """What a connection is for."""

    #: what the engine and the notifier store
    WRITES = "writes"
    #: writes for whose outcome somebody waits
    HURRIED = "hurried"
    #: what the engine, the notifier, retention, probes and scrapers read, and the one reader of the change log
    HOUSE = "house"
    #: what subscribers are shown of what is new
    LIVE = "live"
    #: queries, mutations, and what subscribers read again of the past
    CLIENTS = "clients"


class Patience(Enum):
    """How long somebody waits for a connection."""

    #: as who waits for an answer would
    SHORT = auto()
    USUAL = auto()
    ENDLESS = auto()


@dataclass(frozen=True, slots=True)
class Shape:
    """What a lane is like: its width on SQLite; on PostgreSQL the least, and its parts of what the setting leaves."""

    sqlite: int
    least: int
    parts: int
    writes: bool = False
    patience: Patience = Patience.USUAL
    #: opened when the gateway starts: a server that is full later cannot refuse them
    is_kept: bool = True


SHAPES: Mapping[Lane, Shape] = {
    # SQLite has one writer at a time; a poll rather waits its turn than fail
    Lane.WRITES: Shape(1, 1, 3, writes=True, patience=Patience.ENDLESS),
    Lane.HURRIED: Shape(2, 1, 0, writes=True, patience=Patience.SHORT),
    Lane.HOUSE: Shape(6, 2, 2),
    # one that takes long to show keeps its snapshot, while the others go on to the next
    Lane.LIVE: Shape(4, 2, 2),
    Lane.CLIENTS: Shape(8, 1, 5, patience=Patience.SHORT, is_kept=False),
}
#: Connections to PostgreSQL outside of the lanes: one holds the leases, one listens. A migration has one of its own
#: before there are these two.
SESSIONS = 2
#: The fewest connections to PostgreSQL that a gateway can do with.
FEWEST = SESSIONS + sum(shape.least for shape in SHAPES.values())
#: Connections to PostgreSQL, unless the configuration wants others.
CONNECTIONS = 20


def divide(connections: int) -> dict[Lane, int]:
    """The width of each lane to PostgreSQL. ``connections`` are all that a gateway may take, FEWEST or more."""
    left, parts = connections - FEWEST, sum(shape.parts for shape in SHAPES.values())
    if left < 0:
        raise ValueError(f"a gateway takes {FEWEST} connections or more")
    widths = {lane: shape.least + left * shape.parts // parts for lane, shape in SHAPES.items()}
    widths[Lane.CLIENTS] += connections - SESSIONS - sum(widths.values())
    return widths
