"""A document made ready for execution: parsed and checked once for all who send it, and one operation of it chosen."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLError,
    GraphQLSchema,
    NonNullTypeNode,
    OperationDefinitionNode,
    OperationType,
    VariableNode,
    Visitor,
    parse,
    validate,
    visit,
)
from strawberry import Schema
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError

from connectory import masking
from connectory.operation import Operation
from schema.documents import KEPT, LONGEST, MOST_TOKENS


class Refused(Exception):
    """An operation that does not begin. ``before_execution``: its document is at fault."""

    def __init__(self, errors: Sequence[GraphQLError], *, before_execution: bool) -> None:
        super().__init__(errors[0].message)
        self._errors = list(errors)
        self._before_execution = before_execution

    def body(self) -> dict[str, Any]:
        """What the client is told; anything unexpected is masked and logged."""
        shape = PreExecutionError if self._before_execution else ExecutionResult
        return {"errors": masking.present(shape(data=None, errors=self._errors))}


@dataclass(frozen=True, slots=True)
class Prepared:
    """An operation of a document that is valid."""

    operation: Operation
    document: DocumentNode
    type: OperationType
    #: the variable that says nothing but where a subscription begins; None where there is no such one
    cursor_variable: str | None
    #: names of the variables that the operation takes
    variables: frozenset[str]


def prepare(schema: Schema, operation: Operation) -> Prepared:
    """Raises Refused."""
    read = _read_and_keep if len(operation.query) <= LONGEST else _read
    found = read(schema._schema, operation.query, operation.name)
    if not isinstance(found, _Read):
        raise Refused(found, before_execution=True)
    definition = found.definition
    names = frozenset(defined.variable.name.value for defined in definition.variable_definitions or ())
    return Prepared(operation, found.document, definition.operation, found.cursor_variable, names)


@dataclass(frozen=True, slots=True)
class _Read:
    document: DocumentNode
    definition: OperationDefinitionNode
    cursor_variable: str | None


def _read(schema: GraphQLSchema, query: str, name: str | None) -> _Read | Sequence[GraphQLError]:
    try:
        document = parse(query, max_tokens=MOST_TOKENS)
        errors = validate(schema, document)
        if errors:
            return errors
        definition = _chosen(document, name)
    except GraphQLError as error:
        return [error]
    return _Read(document, definition, _cursor_variable(document, definition))


_read_and_keep = lru_cache(maxsize=KEPT)(_read)


def _chosen(document: DocumentNode, name: str | None) -> OperationDefinitionNode:
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    if name is not None:
        found = [node for node in operations if node.name is not None and node.name.value == name]
        said = f'The document has no operation named "{name}".'
    else:
        found = operations if len(operations) == 1 else []
        said = "operationName has to name one operation of the document."
    if not found:
        raise GraphQLError(said, extensions={"code": masking.BAD_USER_INPUT})
    return found[0]


class _Uses(Visitor):
    """Counts the uses of each variable."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}

    def enter_variable(self, node: VariableNode, *_: Any) -> None:
        self.counts[node.name.value] = self.counts.get(node.name.value, 0) + 1


def _cursor_variable(document: DocumentNode, definition: OperationDefinitionNode) -> str | None:
    root = definition.selection_set.selections[0]
    if not isinstance(root, FieldNode):
        return None
    given = next((argument.value for argument in root.arguments or () if argument.name.value == "after"), None)
    if not isinstance(given, VariableNode):
        return None
    uses = _Uses()
    visit(document, uses)
    name = given.name.value
    defined = next(each for each in definition.variable_definitions or () if each.variable.name.value == name)
    if defined.default_value is not None or isinstance(defined.type, NonNullTypeNode):
        return None  # leaving it out means something else than null
    # its definition is one use, the argument the other
    return name if uses.counts[name] == 2 else None
