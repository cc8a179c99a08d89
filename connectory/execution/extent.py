"""How much a document asks for, worked out from its text in time that grows with its length alone, whatever its
fragments multiply: before any rule of validation looks at it, some of which take their time.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    OperationDefinitionNode,
    SelectionSetNode,
)

from connectory.limits import ALLOWED, DocumentLimits, how_to_raise

#: Where counting ends: fragments that spread each other double it with every line.
_COUNTLESS = 1_000_000_000


class Exceeded(GraphQLError):
    """A document is more than ``setting`` allows."""

    def __init__(self, setting: str, limits: DocumentLimits, node: OperationDefinitionNode | None = None) -> None:
        allowed = ALLOWED[setting].format(getattr(limits, setting))
        message = f"{allowed}; ask for less at once, or {how_to_raise(setting)}."
        super().__init__(message, node, extensions={"code": "BAD_USER_INPUT"})
        self.setting = setting


@dataclass(slots=True)
class Extent:
    """What an operation or a fragment comes to."""

    fields: int = 0
    aliases: int = 0
    directives: int = 0
    root_fields: int = 0
    depth: int = 0
    #: fragments, and how deep each is spread
    spreads: list[tuple[str, int]] = field(default_factory=list)

    def add_spread(self, spread: "Extent", depth: int) -> None:
        """Count a fragment in that is spread so deep; nothing is counted beyond a billion."""
        self.fields = min(self.fields + spread.fields, _COUNTLESS)
        self.aliases = min(self.aliases + spread.aliases, _COUNTLESS)
        self.directives = min(self.directives + spread.directives, _COUNTLESS)
        self.depth = max(self.depth, depth + spread.depth)
        if not depth:
            self.root_fields = min(self.root_fields + spread.root_fields, _COUNTLESS)


def check(document: DocumentNode, limits: DocumentLimits) -> None:
    """Raises Exceeded."""
    fragments = {
        each.name.value: _alone(each.selection_set)
        for each in document.definitions
        if isinstance(each, FragmentDefinitionNode)
    }
    complete = _spread_all(fragments)
    fields = 0
    for each in document.definitions:
        if isinstance(each, OperationDefinitionNode):
            operation = _with_spreads(_alone(each.selection_set), complete)
            operation.directives += len(each.directives or ())
            operation.directives += sum(len(variable.directives or ()) for variable in each.variable_definitions or ())
            fields += operation.fields
            _compare(each, operation, limits)
    if max([fields, *(fragment.fields for fragment in complete.values())]) > limits.fields_per_document:
        raise Exceeded("fields_per_document", limits)


def _compare(node: OperationDefinitionNode, operation: Extent, limits: DocumentLimits) -> None:
    for setting, found in (
        ("depth_per_operation", operation.depth),
        ("root_fields_per_operation", operation.root_fields),
        ("aliases_per_operation", operation.aliases),
        ("directives_per_operation", operation.directives),
    ):
        if found > getattr(limits, setting):
            raise Exceeded(setting, limits, node)


def _alone(selected: SelectionSetNode) -> Extent:
    """Without what its fragments come to."""
    extent = Extent()
    ahead = [(selected, 0)]
    while ahead:
        selections, depth = ahead.pop()
        for each in selections.selections:
            extent.directives += len(each.directives or ())
            if isinstance(each, FragmentSpreadNode):
                extent.spreads.append((each.name.value, depth))
                continue
            below = depth
            if isinstance(each, FieldNode):
                below += 1
                extent.fields += 1
                extent.aliases += each.alias is not None
                extent.root_fields += not depth
                extent.depth = max(extent.depth, below)
            inner: SelectionSetNode | None = getattr(each, "selection_set", None)
            if inner:
                ahead.append((inner, below))
    return extent


def _with_spreads(alone: Extent, fragments: Mapping[str, Extent]) -> Extent:
    for name, depth in alone.spreads:
        if name in fragments:
            alone.add_spread(fragments[name], depth)
    return alone


def _spread_all(fragments: Mapping[str, Extent]) -> Mapping[str, Extent]:
    """Each with what it spreads. A spread that closes a circle counts nothing: such a document is not valid."""
    complete: dict[str, Extent] = {}
    for name in _inner_first(fragments):
        complete[name] = _with_spreads(fragments[name], complete)
    return complete


def _inner_first(fragments: Mapping[str, Extent]) -> Iterable[str]:
    seen: set[str] = set()
    for first in fragments:
        ahead = [(first, False)]
        while ahead:
            name, is_done = ahead.pop()
            if is_done:
                yield name
            elif name in fragments and name not in seen:
                seen.add(name)
                ahead.append((name, True))
                ahead.extend((inner, False) for inner, _ in fragments[name].spreads)
