"""Parsed and checked documents are kept: small operations spend most of their time there."""

import sys
from collections import OrderedDict
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

from graphql import DocumentNode, GraphQLError, GraphQLSchema, GraphQLSyntaxError, parse
from strawberry.extensions import SchemaExtension

from connectory.execution import extent
from connectory.execution.checking import mistakes
from connectory.execution.extent import Exceeded
from connectory.execution.merging import TooTangled
from connectory.limits import DocumentLimits

#: Bytes of a parsed token, with its part of the tree.
_TOKEN = 600
_MOST_DOCUMENTS = 2_000


@dataclass(slots=True, eq=False)
class Document:
    """What a client has sent, and what is wrong with it; no ``node`` when it was not read to its end. ``values``: what
    its last execution came to, None before the first."""

    node: DocumentNode | None
    errors: Sequence[GraphQLError] = ()
    values: int | None = None


_Key = tuple[GraphQLSchema, DocumentLimits, str]


class Documents:
    """The documents used last, as many as take ``most_bytes`` of memory together, and one at least. Only those that are
    valid."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._kept: OrderedDict[_Key, Document] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def remembered(self, schema: GraphQLSchema, limits: DocumentLimits, query: str) -> Document | None:
        """A document that has been read before and is valid."""
        key = schema, limits, query
        document = self._kept.get(key)
        if document is not None:
            self._kept.move_to_end(key)
        return document

    def read(self, schema: GraphQLSchema, limits: DocumentLimits, query: str) -> Document:
        """Parse and check a document, or remember it."""
        steps = self.steps(schema, limits, query)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                document: Document = end.value
                return document

    def steps(self, schema: GraphQLSchema, limits: DocumentLimits, query: str) -> Generator[None, None, Document]:
        """The same in steps, for who lets others go on between them."""
        document = self.remembered(schema, limits, query)
        if document is None:
            document = yield from _read(schema, limits, query)
            if not document.errors:
                self.keep(schema, limits, query, document)
        return document

    def keep(self, schema: GraphQLSchema, limits: DocumentLimits, query: str, document: Document) -> None:
        """Remember a valid document, again if it was forgotten."""
        key = schema, limits, query
        if key not in self._kept:
            self._kept[key] = document
            self.bytes += size(query, document)
        self._kept.move_to_end(key)
        while (self.bytes > self._most or len(self._kept) > _MOST_DOCUMENTS) and len(self._kept) > 1:
            (_, _, forgotten), document = self._kept.popitem(last=False)
            self.bytes -= size(forgotten, document)


def size(query: str, document: Document) -> int:
    """Of a valid document in memory, about."""
    assert document.node is not None
    return _TOKEN * (document.node.token_count or 0) + 2 * sys.getsizeof(query)


def _read(schema: GraphQLSchema, limits: DocumentLimits, query: str) -> Generator[None, None, Document]:
    try:
        node = _parse(query, limits)
        extent.check(node, limits)
        yield
        return Document(node, mistakes(schema, node, limits.fields_per_document))
    except TooTangled:
        return Document(None, [Exceeded("fields_per_document", limits)])
    except GraphQLError as error:
        return Document(None, [error])


def _parse(query: str, limits: DocumentLimits) -> DocumentNode:
    """Raises GraphQLError."""
    if len(query) > limits.characters_per_document:
        raise Exceeded("characters_per_document", limits)
    # finding the line of a mistake takes as long as there are lines
    if query.count("\n") + query.count("\r") > limits.tokens_per_document:
        raise Exceeded("tokens_per_document", limits)
    try:
        return parse(query, max_tokens=limits.tokens_per_document)
    except GraphQLSyntaxError as error:
        if "Document contains more than" in error.message:
            raise Exceeded("tokens_per_document", limits) from None
        raise


#: What is executed has been read shortly before: one memory for all.
kept = Documents(most_bytes=32 << 20)


class KeptDocuments(SchemaExtension):
    """Spares Strawberry the reading of what has been read."""

    def on_parse(self) -> Iterator[None]:
        context = self.execution_context
        if context.query:
            limits = context.context.budget.limits.document
            document = kept.read(context.schema._schema, limits, context.query)
            context.graphql_document = document.node
            context.pre_execution_errors = list(document.errors)
        yield
