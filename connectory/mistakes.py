"""What whoever started the program has to put right."""


class Mistake(Exception):
    """Told in sentences and with exit status 2, never with a traceback."""

    @property
    def sentences(self) -> tuple[str, ...]:
        """For people; they hold no secret."""
        return (str(self),)
