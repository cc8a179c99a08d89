"""What is asked for, ready for execution, whichever way it arrived: its document is parsed and checked once for all who
send it, and one operation of it chosen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FieldNode,
    FormattedExecutionResult,
    GraphQLError,
    NonNullTypeNode,
    OperationDefinitionNode,
    OperationType,
    TokenKind,
    VariableNode,
)
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError

from connectory.execution import error_presentation
from connectory.execution.documents import Document
from connectory.execution.operation import Operation


class Refused(Exception):
    """An operation that does not begin. ``before_execution``: its document is at fault."""

    def __init__(self, errors: Sequence[GraphQLError], *, before_execution: bool) -> None:
        super().__init__(errors[0].message)
        self._errors = list(errors)
        self.before_execution = before_execution

    def body(self) -> FormattedExecutionResult:
        """What the client is told; anything unexpected is masked and logged."""
        shape = PreExecutionError if self.before_execution else ExecutionResult
        return {"errors": error_presentation.present(shape(data=None, errors=self._errors))}


@dataclass(frozen=True, slots=True)
class Prepared:
    """An operation of a document that is valid."""

    operation: Operation
    document: Document
    type: OperationType
    #: None where its author gave it none
    name: str | None
    #: the variable that says nothing but where a subscription begins; None where there is no such one
    cursor_variable: str | None
    #: names of the variables that the operation takes
    variables: frozenset[str]

    @property
    def node(self) -> DocumentNode:
        """The document as it was parsed."""
        assert self.document.node is not None
        return self.document.node


def prepare(operation: Operation, document: Document) -> Prepared:
    """``document`` is what has been read of the operation's. Raises Refused."""
    if document.node is None or document.errors:
        raise Refused(document.errors, before_execution=True)
    chosen = _chosen(document.node, operation.name)
    names = frozenset(defined.variable.name.value for defined in chosen.variable_definitions or ())
    cursor = _cursor_variable(document.node, chosen) if chosen.operation is OperationType.SUBSCRIPTION else None
    name = None if chosen.name is None else chosen.name.value
    return Prepared(operation, document, chosen.operation, name, cursor, names)


def _chosen(document: DocumentNode, name: str | None) -> OperationDefinitionNode:
    """Of several operations the client has to name one (GraphQL §6.1). Raises Refused."""
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    if name is not None:
        found = [node for node in operations if node.name is not None and node.name.value == name]
        message = f'The document has no operation named "{name}".'
    else:
        found = operations if len(operations) == 1 else []
        message = "operationName has to name one operation of the document."
    if not found:
        error = GraphQLError(message, extensions={"code": error_presentation.BAD_USER_INPUT})
        raise Refused([error], before_execution=True)
    return found[0]


def _cursor_variable(document: DocumentNode, subscription: OperationDefinitionNode) -> str | None:
    root = subscription.selection_set.selections[0]
    if not isinstance(root, FieldNode):
        return None
    given = next((argument.value for argument in root.arguments or () if argument.name.value == "after"), None)
    if not isinstance(given, VariableNode):
        return None
    name = given.name.value
    defined = next(each for each in subscription.variable_definitions or () if each.variable.name.value == name)
    if defined.default_value is not None or isinstance(defined.type, NonNullTypeNode):
        return None  # leaving it out means something else than null
    # its definition is one use, the argument the other
    return name if _uses(document, name) == 2 else None


def _uses(document: DocumentNode, variable: str) -> int:
    """How often the variable stands in the document."""
    uses, follows_dollar = 0, False
    token = document.loc and document.loc.start_token
    while token:
        if token.kind is not TokenKind.COMMENT:
            uses += follows_dollar and token.value == variable
            follows_dollar = token.kind is TokenKind.DOLLAR
        token = token.next
    return uses
