"""Which connectors are to be judged next, so that nobody has to look through all of them after each poll."""

from collections import OrderedDict
from collections.abc import Iterable

from connectory.engine.memory.connectors import ConnectorMemory


class Due:
    """Connectors by what is to be done about them; each stands in one of three groups, by its global id."""

    def __init__(self) -> None:
        #: their runs have to be read before they can be judged
        self.unread: dict[str, None] = {}
        #: something goes on with them, or is new
        self.awake: dict[str, None] = {}
        #: all others, first the one that was judged the longest ago
        self.at_rest: OrderedDict[str, None] = OrderedDict()

    def place(self, id: str, remembered: ConnectorMemory) -> None:
        """Where it belongs now; at rest, last."""
        self.drop([id])
        if remembered.runs is None:
            self.unread[id] = None
        elif remembered.is_awake:
            self.awake[id] = None
        else:
            self.at_rest[id] = None

    def drop(self, ids: Iterable[str]) -> None:
        for id in ids:
            self.unread.pop(id, None)
            self.awake.pop(id, None)
            self.at_rest.pop(id, None)
