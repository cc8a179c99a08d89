"""What one operation may come to: what it reads and tells is counted while it is executed.

The text of a document says little of it: twenty words ask for a million rows, or for none.
"""

from graphql import GraphQLError

from connectory.limits import LOOK_UP, ROW, OperationLimits, how_to_raise
from resolvers.arguments import BadUserInput


class TooMuch(BadUserInput):
    """The whole operation is refused, not the one field at which that was noticed."""


class Budget:
    """What one operation has come to so far."""

    def __init__(self, limits: OperationLimits) -> None:
        self.limits = limits
        self.spent = 0

    def spend(self, values: int) -> None:
        """Raises TooMuch; from then on always."""
        self.spent += values
        self.check()

    def check(self) -> None:
        """Raises TooMuch when more is spent than there was."""
        if self.spent > self.limits.values:
            raise TooMuch(
                f"The operation comes to {self.spent:,} values and more; at most {self.limits.values:,} are allowed. A "
                f"field counts 1, one that is looked up for its object {LOOK_UP}, a row of a list {ROW}. Ask for "
                f"shorter pages, for fewer lists, or less deep, or {how_to_raise('values_per_operation')}."
            )

    def spend_rows(self, count: int) -> None:
        """To be called before records are made of them. Raises TooMuch."""
        self.spend(count * ROW)

    def check_actions(self, count: int) -> None:
        """To be called before the first is done. Raises TooMuch."""
        if count > self.limits.actions:
            raise TooMuch(
                f"The operation holds {count:,} actions; at most {self.limits.actions:,} are allowed, see "
                "actions_per_operation under [server] in the configuration. None was done."
            )

    @property
    def most_rows(self) -> int:
        """How many rows of lists there may be at all: no statement needs to read more."""
        return self.limits.values // ROW


def is_too_much(error: BaseException | None) -> bool:
    """Whether that is behind it."""
    while isinstance(error, GraphQLError) and not isinstance(error, TooMuch):
        error = error.original_error
    return isinstance(error, TooMuch)
