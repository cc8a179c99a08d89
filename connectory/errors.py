"""What goes wrong for whoever starts the program."""


class Mistake(Exception):
    """What whoever started the program has to put right. Shown in sentences and with an exit status, never with a
    traceback."""

    #: 2 for what has to be put right before the next start
    status = 2

    @property
    def sentences(self) -> tuple[str, ...]:
        """For people; they hold no secret."""
        return (str(self),)
