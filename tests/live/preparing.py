"""Operations made ready without a server."""

from strawberry import Schema

from connectory import prepared
from connectory.limits import DocumentLimits
from connectory.operation import Operation
from connectory.prepared import Prepared
from schema.documents import kept


def prepare(schema: Schema, operation: Operation) -> Prepared:
    """As for whoever sends it."""
    return prepared.prepare(operation, kept.read(schema._schema, DocumentLimits(), operation.query))
