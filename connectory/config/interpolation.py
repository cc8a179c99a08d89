"""``${NAME}`` in the strings of a configuration, read from the environment.

``$${`` stands for ``${`` itself. Nothing else is special: no defaults, no nesting, no commands.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

#: Where a value stands: keys and positions from the top of the document.
KeyPath = tuple[str | int, ...]

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def spell(path: KeyPath) -> str:
    """``systems[0].token`` for ("systems", 0, "token")."""
    spelled = ""
    for step in path:
        if isinstance(step, int):
            spelled += f"[{step}]"
        else:
            spelled += ("." if spelled else "") + (step if _BARE_KEY.fullmatch(step) else json.dumps(step))
    return spelled


class Interpolation:
    """Replaces references in a document, and remembers what it put in: any of it may be a secret.

    ``refuse(path, sentence)`` is told of each value that cannot be used.
    """

    def __init__(self, environ: Mapping[str, str], refuse: Callable[[KeyPath, str], None]) -> None:
        self._environ = environ
        self._refuse = refuse
        self.values: set[str] = set()

    def apply(self, value: Any, path: KeyPath = ()) -> Any:
        """A copy of ``value`` with every reference replaced."""
        if isinstance(value, dict):
            return {key: self.apply(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.apply(item, (*path, place)) for place, item in enumerate(value)]
        if isinstance(value, float) and not math.isfinite(value):
            self._refuse(path, f"{value} is no usable number; write a finite one")
        if isinstance(value, str):
            return _REFERENCE.sub(lambda match: self._look_up(match, path), value)
        return value

    def _look_up(self, match: re.Match[str], path: KeyPath) -> str:
        if match[1] is None:
            return "${"
        if not match[2] or not _NAME.fullmatch(match[1]):
            self._refuse(path, "${…} has to hold the name of an environment variable; write $${ for the characters ${")
            return match[0]
        found = self._environ.get(match[1])
        if found is None:
            self._refuse(path, f"the environment variable {match[1]} is not set; export {match[1]}=…")
            return match[0]
        self.values.add(found)
        return found
