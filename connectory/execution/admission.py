"""From what a client asks for to what may be executed: its document is read, and a place is found for it.

What is known already costs next to nothing. A document that is new is read in its turn, a step at a time: everybody
else goes on in between.
"""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from functools import partial

from graphql import OperationType
from strawberry import Schema

from connectory.execution.documents import Document, kept
from connectory.execution.extent import Exceeded
from connectory.execution.operation import Operation
from connectory.execution.places import Full, Places, Weight
from connectory.execution.prepared import Prepared, prepare
from connectory.limits import HEAVY, Crowd, DocumentLimits
from connectory.observability.load import Load


class Admission:
    """For all who ask one application, whichever way."""

    def __init__(self, schema: Schema, limits: DocumentLimits, crowd: Crowd, load: Load) -> None:
        self._places = Places(crowd)
        self._load = load
        load.operations = lambda: (self._places.running, self._places.waiting)
        self._schema = schema._schema
        self._limits = limits
        self._readers = Places(
            Crowd(1, 1, 1, 1, crowd.waiting_operations, crowd.waiting_operations_per_client),
        )
        #: documents that are being read
        self._reading: dict[str, asyncio.Task[Document]] = {}

    @asynccontextmanager
    async def admit(
        self, operation: Operation, client: str | None, socket: Hashable | None = None
    ) -> AsyncIterator[Prepared]:
        """The operation, ready for execution; a query or a mutation has its place while the block runs.

        ``client`` is an address. Raises Refused and Full.
        """
        try:
            document = await self._read(operation.query, client)
            prepared = prepare(operation, document)
            if prepared.type is OperationType.SUBSCRIPTION:
                yield prepared
                return
            async with self._places.place(client, socket, partial(_weight, prepared)):
                # who executes it looks there, and it may have been forgotten meanwhile
                kept.keep(self._schema, self._limits, operation.query, document)
                yield prepared
        except Full as full:
            self._load.refuse(full.setting)
            raise

    async def _read(self, query: str, client: str | None) -> Document:
        """Once for all who ask for it meanwhile. Raises Full."""
        document = kept.remembered(self._schema, self._limits, query)
        if document is not None:
            return document
        reading = self._reading.get(query)
        if reading is None:
            self._places.check(client)
            self._readers.check(client)
            reading = asyncio.create_task(self._read_in_turn(query, client), name="reading a document")
            self._reading[query] = reading
        return await asyncio.shield(reading)

    async def _read_in_turn(self, query: str, client: str | None) -> Document:
        try:
            async with self._readers.place(client):
                steps = kept.steps(self._schema, self._limits, query)
                while True:
                    try:
                        next(steps)
                    except StopIteration as end:
                        document: Document = end.value
                        break
                    await asyncio.sleep(0)
                self._count(document)
                await asyncio.sleep(0)
                return document
        finally:
            del self._reading[query]

    def _count(self, document: Document) -> None:
        for error in document.errors:
            if isinstance(error, Exceeded):
                self._load.refuse(error.setting)


def _weight(prepared: Prepared) -> Weight:
    """A mutation takes long, and little of it is ours."""
    if prepared.type is OperationType.MUTATION:
        return Weight.LIGHT
    values = prepared.document.values
    return Weight.NEW if values is None else Weight.HEAVY if values > HEAVY else Weight.LIGHT
