"""Whether a document is valid: graphql-core's rules, in less time than its ``validate`` takes, and one of our own."""

from collections.abc import Mapping, Sequence
from typing import Any

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    ParallelVisitor,
    TypeInfo,
    TypeInfoVisitor,
    ValidationContext,
    Visitor,
    specified_rules,
    visit,
)
from graphql.language.ast import QUERY_DOCUMENT_KEYS
from graphql.validation import OverlappingFieldsCanBeMergedRule
from graphql.validation.validate import FragmentNestingVisitor
from graphql.validation.validation_context import VariableUsage, VariableUsageVisitor
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from connectory.execution import merging

#: Mistakes that are told of one document: each takes its time to be found and to be worded.
MOST_MISTAKES = 5
#: Comparisons of fields by their names, for each field that there may be. Fields within each other under one name, on
#: interfaces and on several types, can be compared in more ways than anybody means.
_COMPARISONS = 20
#: Takes a second for some hundred bytes; what it says is found by ``merging`` instead.
_SLOW = OverlappingFieldsCanBeMergedRule
_RULES = (*(rule for rule in specified_rules if rule is not _SLOW), MaybeNullValidationRule, OneOfInputValidationRule)
#: No rule looks at a name by itself, and they are half of all nodes.
_NAMES = frozenset({"name", "alias", "description"})
_WAYS: Mapping[str, tuple[str, ...]] = {
    kind: tuple(key for key in keys if key not in _NAMES) for kind, keys in QUERY_DOCUMENT_KEYS.items()
}


class _Enough(Exception):
    """Of mistakes."""


class _Context(ValidationContext):
    """What the rules share."""

    def get_variable_usages(self, node: Any) -> list[VariableUsage]:
        found = self._variable_usages.get(node)
        if found is None:
            visitor = VariableUsageVisitor(self._type_info, node if isinstance(node, FragmentDefinitionNode) else None)
            visit(node, TypeInfoVisitor(self._type_info, visitor), dict(_WAYS))
            found = self._variable_usages[node] = visitor.usages
        return found


def mistakes(schema: GraphQLSchema, document: DocumentNode, most_fields: int) -> Sequence[GraphQLError]:
    """What is wrong with a document; the first ones, if it is much. Raises TooTangled for one whose ``most_fields``
    lie in each other in too many ways."""
    return _broken_rules(schema, document) or _conflicts(schema, document, most_fields * _COMPARISONS)


def _conflicts(schema: GraphQLSchema, document: DocumentNode, most: int) -> Sequence[GraphQLError]:
    conflict = merging.find_conflict(schema, document, most)
    return () if conflict is None else (conflict,)


def _broken_rules(schema: GraphQLSchema, document: DocumentNode) -> Sequence[GraphQLError]:
    found: list[GraphQLError] = []

    def report(error: GraphQLError) -> None:
        found.append(error)
        if len(found) >= MOST_MISTAKES:
            raise _Enough

    known = TypeInfo(schema)
    context = _Context(schema, document, known, report)
    visitors: list[Visitor] = [_nesting(document), *(rule(context) for rule in _RULES)]
    try:
        visit(document, TypeInfoVisitor(known, ParallelVisitor(visitors)), dict(_WAYS))
    except _Enough:
        pass
    except RecursionError:
        found.append(GraphQLError("Fragments are spread too deeply in each other."))
    except GraphQLError as aborted:  # variables or fragments that stand for too many uses
        found.append(aborted.with_traceback(None))
    return found


def _nesting(document: DocumentNode) -> Visitor:
    """Ends in a RecursionError before the rules do."""
    return FragmentNestingVisitor(
        {each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)}
    )
