"""What ``[server]`` may say of limits."""

from dataclasses import fields
from typing import Any, TypeVar

from pydantic import BaseModel, Field

from connectory.limits import HEAVY, LOOK_UP, ROW, Crowd, DocumentLimits, OperationLimits

_Limits = TypeVar("_Limits", DocumentLimits, Crowd)


def _limit(limits: type[DocumentLimits] | type[Crowd], name: str, description: str) -> Any:
    return Field(getattr(limits(), name), ge=1, description=f"{description}, 1 or more")


class LimitSettings(BaseModel):
    """Of ``[server]``: what may be asked for, and how much of it at once."""

    body_bytes: int = Field(
        1 << 20, ge=1024, le=1 << 26, description="bytes of a request's body, as sent and unpacked, 1024 or more"
    )
    values_per_request: int = Field(
        5_000, ge=100, description="values in the JSON of one request or one WebSocket message, 100 or more"
    )
    characters_per_document: int = _limit(DocumentLimits, "characters_per_document", "characters of a document")
    tokens_per_document: int = _limit(
        DocumentLimits, "tokens_per_document", "words, names, brackets and comments of a document"
    )
    fields_per_document: int = _limit(
        DocumentLimits,
        "fields_per_document",
        "fields that the operations of a document ask for, those of fragments counted wherever they are spread",
    )
    depth_per_operation: int = _limit(DocumentLimits, "depth_per_operation", "how deep fields may lie in each other")
    root_fields_per_operation: int = _limit(
        DocumentLimits, "root_fields_per_operation", "fields of one operation that lie in no other"
    )
    aliases_per_operation: int = _limit(DocumentLimits, "aliases_per_operation", "aliases of one operation")
    directives_per_operation: int = _limit(DocumentLimits, "directives_per_operation", "directives of one operation")
    operations_at_once: int = _limit(Crowd, "operations_at_once", "operations that are executed at once")
    operations_per_client: int = _limit(
        Crowd, "operations_per_client", "operations that are executed at once for one client address"
    )
    operations_per_socket: int = _limit(
        Crowd, "operations_per_socket", "operations that are executed at once for one WebSocket"
    )
    heavy_operations_per_client: int = _limit(
        Crowd,
        "heavy_operations_per_client",
        f"operations that are executed at once for one client address of those that came to more than {HEAVY:,} values "
        "the last time, and as many that nobody has asked for before",
    )
    waiting_operations: int = _limit(Crowd, "waiting_operations", "operations that may wait until they are executed")
    waiting_operations_per_client: int = _limit(
        Crowd, "waiting_operations_per_client", "operations of one client address that may wait"
    )

    values_per_operation: int = Field(
        OperationLimits().values,
        ge=1000,
        description="values that one operation may come to, 1000 or more: a field counts 1, one that is looked up for "
        f"its object {LOOK_UP}, a row of a list {ROW}",
    )
    seconds_per_operation: float = Field(
        OperationLimits().seconds, gt=0, description="seconds that one operation may take, if it is no mutation"
    )
    seconds_per_mutation: float = Field(
        OperationLimits().mutation_seconds,
        gt=0,
        description="seconds after which a mutation is answered though what becomes of it is not known yet",
    )

    actions_per_operation: int = Field(
        OperationLimits().actions, ge=1, description="actions that one operation may hold, 1 or more"
    )

    @property
    def limits(self) -> OperationLimits:
        """Of one operation."""
        return OperationLimits(
            self.values_per_operation,
            self.seconds_per_operation,
            self.seconds_per_mutation,
            self.actions_per_operation,
            self._of(DocumentLimits),
        )

    @property
    def crowd(self) -> Crowd:
        """Of all operations."""
        return self._of(Crowd)

    def _of(self, limits: type[_Limits]) -> _Limits:
        return limits(**{each.name: getattr(self, each.name) for each in fields(limits)})
