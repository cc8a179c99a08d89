"""Operations made ready without a server."""

from strawberry import Schema

from connectory.execution import prepared
from connectory.execution.documents import kept
from connectory.execution.operation import Operation
from connectory.execution.prepared import Prepared
from connectory.limits import DocumentLimits


def prepare(schema: Schema, operation: Operation) -> Prepared:
    """As for whoever sends it."""
    return prepared.prepare(operation, kept.read(schema._schema, DocumentLimits(), operation.query))
