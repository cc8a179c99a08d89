"""What one operation may come to. Of a subscription it holds for each of its results."""

from dataclasses import dataclass

#: What a row of a list comes to, and what a field comes to that is looked up for its object, as a connector's jobs are;
#: any other field comes to 1. In memory a unit is some 400 bytes while the operation lasts.
ROW, LOOK_UP = 10, 25


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one operation."""

    values: int = 300_000
    #: how long it may take. Not a mutation, which waits for an upstream that has limits of its own
    seconds: float = 30.0
    #: root fields of a mutation; answers that share a name are one
    actions: int = 20
