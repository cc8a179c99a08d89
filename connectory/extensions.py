"""What runs around every operation, whichever way it arrived."""

from collections.abc import Iterator

from graphql import OperationDefinitionNode
from strawberry.extensions import SchemaExtension
from strawberry.schema.exceptions import CannotGetOperationTypeError


class NamedOperation(SchemaExtension):
    """Of several operations in a document the client has to name one (GraphQL §6.1); Strawberry would run the first."""

    def on_parse(self) -> Iterator[None]:
        yield
        context = self.execution_context
        # the public operation_name falls back to the first operation's own
        if context.graphql_document is None or context._provided_operation_name is not None:
            return
        definitions = context.graphql_document.definitions
        if sum(isinstance(definition, OperationDefinitionNode) for definition in definitions) > 1:
            raise CannotGetOperationTypeError(None)
