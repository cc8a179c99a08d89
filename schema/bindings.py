"""Strawberry's types become descriptions over plain records.

Strawberry tells objects apart by ``isinstance`` of its own classes. Ours are records: they name their GraphQL type in
``typename``, so the checks are replaced by reading that name.
"""

from collections.abc import Callable
from typing import Any, cast

import strawberry
from graphql import (
    GraphQLAbstractType,
    GraphQLEnumType,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLUnionType,
    Undefined,
)
from strawberry.schema.schema_converter import GraphQLCoreConverter

from connectory.model import DescribedEnum
from schema.connector_details import JSON_OBJECTS


def bind(schema: strawberry.Schema) -> None:
    """Make a built schema serve records. Changes it in place."""
    for type_ in schema._schema.type_map.values():
        if type_.name.startswith("__"):
            continue
        match type_:
            case GraphQLInterfaceType() | GraphQLUnionType():
                type_.resolve_type = _typename
            case GraphQLObjectType():
                type_.is_type_of = None
                if type_.name in JSON_OBJECTS:
                    _read_items(type_)
            case GraphQLEnumType():
                _speed_up(type_)
                _name_values(type_)
        _drop_null_defaults(type_)


def _typename(record: Any, _info: GraphQLResolveInfo[Any], _type: GraphQLAbstractType) -> str:
    return cast(str, record.typename)


def _read_items(type_: GraphQLObjectType) -> None:
    for field in type_.fields.values():
        key = field.extensions[GraphQLCoreConverter.DEFINITION_BACKREF].python_name
        field.resolve = lambda record, _info, key=key: record.get(key)


def _speed_up(enum: GraphQLEnumType) -> None:
    """Strawberry searches all values for each one that it writes; a member knows its own name.

    Details carry names as text, as they are kept as JSON.
    """
    members = cast(type[DescribedEnum], vars(enum)["wrapped_cls"])
    names = frozenset(members.__members__)

    def write(value: object) -> str:
        if isinstance(value, members):
            return value._name_
        if isinstance(value, str) and value in names:
            return value
        raise GraphQLError(f"Enum {enum.name} cannot represent {value!r}.")

    vars(enum)["coerce_output_value"] = write


def _name_values(enum: GraphQLEnumType) -> None:
    """Whoever gives a value that there is not is told those that there are."""
    valid = f" Valid: {', '.join(enum.values)}."
    for reader in ("coerce_input_value", "coerce_input_literal"):
        vars(enum)[reader] = _naming(getattr(enum, reader), valid)


def _naming(read: Callable[..., Any], valid: str) -> Callable[..., Any]:
    def naming(*given: Any) -> Any:
        try:
            return read(*given)
        except GraphQLError as error:
            raise GraphQLError(f"{error.message}{valid}", error.nodes) from None

    return naming


def _drop_null_defaults(type_: object) -> None:
    """What may be left out has no default that a reader needs to see; Python supplies its own None."""
    match type_:
        case GraphQLInputObjectType():
            inputs = list(type_.fields.values())
        case GraphQLObjectType() | GraphQLInterfaceType():
            inputs = [argument for field in type_.fields.values() for argument in field.args.values()]
        case _:
            return
    for each in inputs:
        if each.default_value is None:
            each.default_value = Undefined
