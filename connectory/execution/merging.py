"""Whether fields that share a name in an answer can become one there (GraphQL §5.3.2), for documents that keep every
other rule.

graphql-core compares every pair of them. Here those of one name are gathered first, then each is compared with the
first of its group, so that the time grows with the fields alone: S. Adameit's algorithm, as in Sangria.
The verdicts are the same; ``tests/api/test_merging.py`` compares them.
"""

from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    InlineFragmentNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    type_from_ast,
)


class _Field(NamedTuple):
    node: FieldNode
    parent: GraphQLNamedType | None
    #: None for fields of introspection, which every type has
    type: GraphQLOutputType | None


#: A selection set, and the type that it is of.
_Selected = tuple[SelectionSetNode, GraphQLNamedType | None]
_Groups = Mapping[str, Sequence[_Field]]


class TooTangled(Exception):
    """It would take more comparisons than there may be."""


class _Conflict(Exception):
    def __init__(self, reason: str, first: _Field, second: _Field) -> None:
        super().__init__(reason)
        self.nodes = [first.node, second.node]


def find_conflict(schema: GraphQLSchema, document: DocumentNode, most: int) -> GraphQLError | None:
    """The first two fields that cannot become one. Raises TooTangled after ``most`` comparisons."""
    try:
        _Comparison(schema, document, most).compare()
    except _Conflict as conflict:
        name = _response_name(conflict.nodes[0])
        return GraphQLError(
            f"Fields '{name}' conflict because {conflict}. Use different aliases on the fields to fetch both if this "
            "was intentional.",
            conflict.nodes,
        )
    return None


class _Comparison:
    def __init__(self, schema: GraphQLSchema, document: DocumentNode, most: int) -> None:
        self._schema = schema
        self._document = document
        self._fragments = {
            each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)
        }
        self._left = most
        self._asked: dict[int, Hashable] = {}
        #: what has been compared, by the selection sets that it came from
        self._alike: set[frozenset[int]] = set()
        self._same: set[frozenset[int]] = set()

    def compare(self) -> None:
        """Raises _Conflict, TooTangled."""
        for each in self._document.definitions:
            if isinstance(each, OperationDefinitionNode):
                selected = [(each.selection_set, self._schema.get_root_type(each.operation))]
                self._compare_fields(selected)
                self._compare_shapes(selected)

    def _compare_shapes(self, selected: Sequence[_Selected]) -> None:
        """Of one name, whatever they are read from: one client type has to fit them all."""
        if self._is_known(self._alike, selected):
            return
        for group in self._gather(selected).values():
            typed = [each for each in group if each.type is not None]
            if typed:
                first, shape = typed[0], _shape(typed[0].type)
                for other in typed:
                    if other.type is not first.type and _shape(other.type) != shape:
                        reason = f"they return conflicting types '{first.type}' and '{other.type}'"
                        raise _Conflict(reason, first, other)
            self._compare_shapes(list(_below(group)))

    def _compare_fields(self, selected: Sequence[_Selected]) -> None:
        """Of one name that may be read from one object: they have to ask for the same."""
        if self._is_known(self._same, selected):
            return
        for group in self._gather(selected).values():
            for together in _of_one_object(group):
                first = together[0]
                for other in together[1:]:
                    self._compare_two(first, other)
                self._compare_fields(list(_below(together)))

    def _compare_two(self, first: _Field, second: _Field) -> None:
        one, other = first.node.name.value, second.node.name.value
        if one != other:
            raise _Conflict(f"'{one}' and '{other}' are different fields", first, second)
        if (first.node.arguments or second.node.arguments) and self._asks(first) != self._asks(second):
            raise _Conflict("they have differing arguments", first, second)

    def _asks(self, field: _Field) -> Hashable:
        key = id(field.node)
        found = self._asked.get(key)
        if found is None:
            arguments = field.node.arguments or ()
            found = self._asked[key] = frozenset((each.name.value, _value(each.value)) for each in arguments)
        return found

    def _is_known(self, known: set[frozenset[int]], selected: Sequence[_Selected]) -> bool:
        key = frozenset(id(node) for node, _ in selected)
        if not key or key in known:
            return True
        known.add(key)
        return False

    def _gather(self, selected: Sequence[_Selected]) -> _Groups:
        """The fields by the name that they have in the answer, those of a fragment once."""
        groups: dict[str, list[_Field]] = {}
        spread: set[str] = set()
        ahead = deque(selected)
        while ahead:
            selections, parent = ahead.popleft()
            self._left -= len(selections.selections)
            if self._left < 0:
                raise TooTangled
            fields = parent.fields if isinstance(parent, GraphQLObjectType | GraphQLInterfaceType) else {}
            for node in selections.selections:
                if isinstance(node, FieldNode):
                    definition = fields.get(node.name.value)
                    found = _Field(node, parent, definition.type if definition else None)
                    groups.setdefault(_response_name(node), []).append(found)
                elif isinstance(node, InlineFragmentNode):
                    condition = node.type_condition
                    inner = type_from_ast(self._schema, condition) if condition else parent
                    ahead.append((node.selection_set, inner))
                elif isinstance(node, FragmentSpreadNode) and node.name.value not in spread:
                    spread.add(node.name.value)
                    fragment = self._fragments[node.name.value]
                    ahead.append((fragment.selection_set, type_from_ast(self._schema, fragment.type_condition)))
        return groups


def _response_name(node: FieldNode) -> str:
    return node.alias.value if node.alias else node.name.value


def _below(fields: Iterable[_Field]) -> Iterator[_Selected]:
    for field in fields:
        if field.node.selection_set:
            yield field.node.selection_set, get_named_type(field.type)


def _of_one_object(fields: Sequence[_Field]) -> Iterable[Sequence[_Field]]:
    """Those of an interface or a union may be read from an object of any type."""
    by_type: dict[str, list[_Field]] = {}
    of_any = []
    for field in fields:
        if isinstance(field.parent, GraphQLObjectType):
            by_type.setdefault(field.parent.name, []).append(field)
        else:
            of_any.append(field)
    return [of_any + each for each in by_type.values()] or [of_any]


def _shape(type_: object) -> tuple[str, ...]:
    """Its lists, what may be null in it, and the type of a value; all that has fields is of one shape."""
    shape = []
    while is_list_type(type_) or is_non_null_type(type_):
        shape.append("[]" if is_list_type(type_) else "!")
        type_ = type_.of_type
    return (*shape, str(type_) if is_leaf_type(type_) else "{}")


def _value(node: ValueNode) -> Hashable:
    """Equal for equal values, as they are written; an object's fields in any order."""
    if isinstance(node, VariableNode):
        return "variable", node.name.value
    if isinstance(node, ObjectValueNode):
        return "object", frozenset((each.name.value, _value(each.value)) for each in node.fields)
    if isinstance(node, ListValueNode):
        return "list", tuple(_value(each) for each in node.values)
    return node.kind, getattr(node, "value", None), getattr(node, "block", False)
