"""What whoever started the program has to put right."""


class Mistake(Exception):
    """Told in sentences and with an exit status, never with a traceback."""

    #: 2 for what has to be put right before the next start
    status = 2

    @property
    def sentences(self) -> tuple[str, ...]:
        """For people; they hold no secret."""
        return (str(self),)
