"""Cases that share one test: all of them are tried, and those that went wrong are told together, each by its name."""

import inspect
import reprlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from pathlib import Path
from traceback import extract_tb
from typing import Any

import pytest

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
#: what pytest.raises() says when nothing was raised is no Exception
_WRONG = (Exception, pytest.fail.Exception)


@contextmanager
def every_case() -> Iterator[Callable[[object], AbstractContextManager[None]]]:
    """``with case(name):`` around each case; at the end, all that went wrong by name. No case at all is wrong too."""
    names: list[str] = []
    wrong: dict[str, BaseException] = {}

    @contextmanager
    def case(name: object) -> Iterator[None]:
        names.append(name if isinstance(name, str) else _SHORT.repr(name))
        try:
            yield
        except _WRONG as error:
            wrong[f"{names[-1]} (case {len(names)})"] = error

    yield case
    assert names, "there was no case to try"
    if wrong:
        told = "\n".join(f"  {name}: {_said(error)}" for name, error in wrong.items())
        raise AssertionError(f"{len(wrong)} of {len(names)} cases:\n{told}") from next(iter(wrong.values()))


def _said(error: BaseException) -> str:
    frames = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in extract_tb(error.__traceback__)]
    place = next((frame for frame in reversed(frames) if frame.startswith("test_")), frames[-1] if frames else "")
    return f"{type(error).__name__} at {place}: {error}"


def cases(names: str | tuple[str, ...], rows: Iterable[Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Like ``pytest.mark.parametrize``, as one test: fixtures are made once and shared by all cases."""
    called = (names,) if isinstance(names, str) else names
    table = [dict(zip(called, (row,) if isinstance(names, str) else row, strict=True)) for row in rows]

    def looped(test: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(test)
        async def waiting(*given: Any, **fixtures: Any) -> None:
            with every_case() as case:
                for row in table:
                    with case(_named(row)):
                        await test(*given, **fixtures, **row)

        @wraps(test)
        def at_once(*given: Any, **fixtures: Any) -> None:
            with every_case() as case:
                for row in table:
                    with case(_named(row)):
                        test(*given, **fixtures, **row)

        made: Any = waiting if inspect.iscoroutinefunction(test) else at_once
        signature = inspect.signature(test)
        wanted = [each for name, each in signature.parameters.items() if name not in called]
        made.__signature__ = signature.replace(parameters=wanted)
        return made

    return looped


def _named(row: dict[str, Any]) -> str:
    return ", ".join(value if isinstance(value, str) and value else _SHORT.repr(value) for value in row.values())
