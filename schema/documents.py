"""Parsed and checked documents are kept: small operations spend most of their time there."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    Node,
    OperationDefinitionNode,
    parse,
    specified_rules,
)
from strawberry.extensions import SchemaExtension
from strawberry.schema.schema import validate_document

#: Tokens of a document; some 60 kB of them. One that would take seconds to check is not read to its end.
MOST_TOKENS = 15_000
#: How deep fields may lie in each other. The longest way without a turn has 12 steps, GraphiQL's introspection 15.
MOST_DEEP = 20


@dataclass(frozen=True, slots=True)
class Document:
    """What a client has sent, and what is wrong with it; no ``node`` when it is not GraphQL."""

    node: DocumentNode | None
    errors: Sequence[GraphQLError]


class Documents:
    """The documents used last, as many as have ``most`` characters together, and one at least.

    Characters, since a parsed document takes some 200 bytes for each of them, and its length is its sender's choice.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[GraphQLSchema, str], Document] = OrderedDict()
        self._characters = 0

    def read(self, schema: GraphQLSchema, query: str) -> Document:
        """Parse and check a document, or remember what came of it."""
        key = schema, query
        document = self._kept.get(key)
        if document is None:
            document = self._kept[key] = _read(schema, query)
            self._characters += len(query)
            while self._characters > self._most and len(self._kept) > 1:
                (_, forgotten), _ = self._kept.popitem(last=False)
                self._characters -= len(forgotten)
        else:
            self._kept.move_to_end(key)
        return document


def _read(schema: GraphQLSchema, query: str) -> Document:
    try:
        node = parse(query, max_tokens=MOST_TOKENS)
    except GraphQLError as error:
        return Document(None, [error])
    return Document(node, validate_document(schema, node, specified_rules) or _too_deep(node))


def _too_deep(document: DocumentNode) -> Sequence[GraphQLError]:
    """The first field found that lies deeper than MOST_DEEP; fragments count where they are spread. For a valid
    document: there no fragment spreads itself.
    """
    fragments = {each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)}
    seen: dict[str, int] = {}  # fragment → how deep it was spread, at most
    ahead: list[tuple[Node, int]] = [
        (each, 0) for each in document.definitions if isinstance(each, OperationDefinitionNode)
    ]
    while ahead:
        node, depth = ahead.pop()
        if isinstance(node, FragmentSpreadNode):
            name = node.name.value
            if seen.get(name, -1) >= depth:
                continue
            seen[name], node = depth, fragments[name]
        elif isinstance(node, FieldNode):
            depth += 1
            if depth > MOST_DEEP:
                return [GraphQLError(f"Fields lie at most {MOST_DEEP} deep in each other; this one lies deeper.", node)]
        selected = getattr(node, "selection_set", None)
        ahead += [(each, depth) for each in selected.selections] if selected else []
    return ()


#: What is executed has been read shortly before: one memory for all.
read = Documents(most=250_000).read


class KeptDocuments(SchemaExtension):
    """Spares Strawberry the reading of what has been read; a syntax error is left to its parser, which reports it."""

    def on_parse(self) -> Iterator[None]:
        context = self.execution_context
        context.parse_options["max_tokens"] = MOST_TOKENS
        if context.query:
            document = read(context.schema._schema, context.query)
            context.graphql_document = document.node
            context.pre_execution_errors = list(document.errors)
        yield
