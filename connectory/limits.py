"""What one operation may come to, and how much may be asked for at once. Of a subscription the limits of values and of
seconds hold for each of its results.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

#: What a row of a list comes to, and what a field comes to that is looked up for its object, as a connector's jobs are;
#: any other field comes to 1. In memory a unit is some 400 bytes while the operation lasts.
ROW, LOOK_UP = 10, 25

#: Connections of one client beside its live ones.
CONNECTIONS_BESIDE = 1_000


def how_to_raise(setting: str) -> str:
    """The end of a refusal."""
    return f"raise {setting} under [server] in the configuration"


@dataclass(frozen=True, slots=True)
class DocumentLimits:
    """Of a document, known from its text alone; each by the name of its setting. Together they hold reading and
    checking below 50 ms, see ``tests/proofs/test_held_loop.py``."""

    characters_per_document: int = 50_000
    tokens_per_document: int = 2_000
    fields_per_document: int = 1_000
    depth_per_operation: int = 20
    root_fields_per_operation: int = 200
    aliases_per_operation: int = 500
    directives_per_operation: int = 200


#: Setting → what it allows, to be said with its number.
ALLOWED: Mapping[str, str] = {
    "characters_per_document": "A document may have at most {:,} characters",
    "tokens_per_document": "A document may have at most {:,} tokens, and as many lines",
    "fields_per_document": "A document may ask for at most {:,} fields, counted where their fragment is spread",
    "depth_per_operation": "Fields may lie at most {:,} deep in each other",
    "root_fields_per_operation": "An operation may have at most {:,} fields at its root",
    "aliases_per_operation": "An operation may have at most {:,} aliases, counted where their fragment is spread",
    "directives_per_operation": "An operation may have at most {:,} directives, counted where their fragment is spread",
}


@dataclass(frozen=True, slots=True)
class OperationLimits:
    """Of one operation."""

    values: int = 300_000
    #: how long it may take
    seconds: float = 30.0
    #: how long it may take where it is a mutation, which waits for an upstream that has limits of its own
    mutation_seconds: float = 60.0
    #: root fields of a mutation; answers that share a name are one
    actions: int = 20
    document: DocumentLimits = field(default_factory=DocumentLimits)


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many operations may be executed at once, and how many may wait for that; each by the name of its setting."""

    operations_at_once: int = 20
    operations_per_client: int = 10
    operations_per_socket: int = 4
    heavy_operations_per_client: int = 2
    waiting_operations: int = 500
    waiting_operations_per_client: int = 200


#: Values beyond which an operation is heavy: some 20 ms during which nothing else goes on.
HEAVY = 5_000

#: The settings by which operations are refused before they begin.
REFUSING = ("body_bytes", "values_per_request", *ALLOWED, "waiting_operations", "waiting_operations_per_client")
