"""The shared vocabulary as GraphQL enums: names and sentences come from the Python enums themselves."""

import inspect
from typing import cast

import strawberry
from strawberry.types.enum import StrawberryEnumDefinition

from connectory import model
from connectory.model import DescribedEnum
from resolvers import vocabulary


def register(enum: type[DescribedEnum]) -> None:
    """Make an enum known to Strawberry, every value with its sentence."""
    strawberry.enum(enum, description=inspect.getdoc(enum))
    definition = cast(StrawberryEnumDefinition, enum.__strawberry_definition__)  # type: ignore[attr-defined]
    for value, member in zip(definition.values, enum, strict=True):
        value.description = member.description


ENUMS: tuple[type[DescribedEnum], ...] = (
    model.SystemHealth,
    model.SystemErrorCode,
    model.Capability,
    model.ConnectorMode,
    model.ConnectorStatus,
    model.ConnectorHealth,
    model.AccessType,
    model.ConnectorAction,
    model.JobAction,
    model.JobStatus,
    model.JobType,
    model.JobTrigger,
    model.EtaBasis,
    model.ConditionSeverity,
    model.ConditionCode,
    model.NoticeKind,
    model.DeliveryPhase,
    model.DeliveryStatus,
    model.EventKind,
    model.Role,
    model.ActionFailureCode,
    vocabulary.SortDirection,
    vocabulary.ConnectorOrderField,
    vocabulary.JobOrderField,
    vocabulary.ConnectorFacet,
    vocabulary.JobFacet,
    vocabulary.EndpointDirection,
    vocabulary.HistoryBucketSize,
)

for _enum in ENUMS:
    register(_enum)
