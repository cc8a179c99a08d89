"""What is wrong with a configuration, collected so that one run tells everything."""

import difflib
import re
from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from connectory.config.interpolation import KeyPath, spell
from connectory.redaction import REDACTED

Settings = TypeVar("Settings", bound=BaseModel)


class Problems:
    """What is wrong so far, one sentence per place; the first one told of a place is the cause of the others."""

    def __init__(self, file: str) -> None:
        self._file = file
        self.found: dict[KeyPath, str] = {}
        #: values from outside the file, by place
        self.origins: dict[KeyPath, str] = {}
        self.secrets: set[str] = set()

    def add(self, path: KeyPath, sentence: str) -> None:
        """Of several sentences about one place the first stays."""
        self.found.setdefault(path, sentence)

    def check(self, model: type[Settings], table: Any, path: KeyPath) -> Settings | None:
        """``table`` as ``model``; None when something is wrong with it."""
        if not isinstance(table, dict):
            self.add(path, f"has to be a table; head it with [{spell(path)}]")
            return None
        try:
            return model.model_validate(table)
        except ValidationError as error:
            for wrong in error.errors(include_url=False, include_input=False, include_context=False):
                place = (*path, *wrong["loc"])
                if wrong["type"] == "extra_forbidden":
                    self.found.pop(place, None)  # whatever is wrong with its value does not matter
                self.add(place, _explain(model, wrong["type"], wrong["msg"], wrong["loc"]))
            return None

    def sentences(self) -> list[str]:
        """As ConfigError has them, without secrets, in the order in which they were found."""
        return [
            f"{self.origins.get(path, self._file)}: {spell(path)}: {self._discreet(sentence)}"
            for path, sentence in self.found.items()
        ]

    def _discreet(self, sentence: str) -> str:
        for secret in sorted(self.secrets, key=len, reverse=True):
            if len(secret) >= 4:
                sentence = sentence.replace(secret, REDACTED)
        return sentence


#: What pydantic says → what is meant to somebody who writes a file.
_WORDS = {
    "Input should": "should",
    "Value should": "should",
    "a valid tuple": "a list",
    " after validation": "",
    " item": " character",
}


def _explain(model: type[BaseModel], kind: str, message: str, where: tuple[int | str, ...]) -> str:
    """One error of pydantic as a sentence that ends with what would be valid."""
    key = str(where[-1]) if where else ""
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    if kind == "extra_forbidden":
        return f"unknown key{suggest(key, fields)}"
    description = fields[str(where[0])].description if where and str(where[0]) in fields else None
    valid = f"; {description}" if description else ""
    if kind == "missing":
        return f"is missing{valid}"
    sentence = re.sub(r"^(Value error, |Assertion failed, )", "", message)
    for theirs, ours in _WORDS.items():
        sentence = sentence.replace(theirs, ours, 1)
    if where and "SecretStr" in str(getattr(fields.get(str(where[0])), "annotation", "")):
        sentence = sentence.replace(" item", " character")
    return sentence + valid


def suggest(word: str, known: Iterable[str]) -> str:
    """``; did you mean "x"? valid: x, y`` for a word that is not among the known ones."""
    valid = list(known)
    close = difflib.get_close_matches(word, valid, n=1)
    return (f'; did you mean "{close[0]}"? ' if close else "; ") + f"valid: {', '.join(valid)}"
