"""Reading and checking the worst documents and the worst JSON within the limits holds the loop for 50 ms at most.

Size: the best of 3; FULL=1: of 10, on a machine that does nothing else.
"""

import json
import time
from collections.abc import Callable

from graphql import get_introspection_query

from connectory.config.settings import ServerSettings
from connectory.execution.bad_request import BadRequest
from connectory.execution.decoding import decode
from connectory.execution.documents import Documents
from connectory.limits import DocumentLimits
from schema import build_schema
from tests.proofs.conftest import Figures
from tests.proofs.size import size

SCHEMA, SERVER, LIMITS = build_schema()._schema, ServerSettings(), DocumentLimits()
#: Milliseconds; a machine that others use gets longer.
GOAL, MOST = 50, size(250, 50)
TOKENS, CHARACTERS, FIELDS = LIMITS.tokens_per_document, LIMITS.characters_per_document, LIMITS.fields_per_document


def named(count: int, write: Callable[[int], str]) -> str:
    return " ".join(write(n) for n in range(count))


def within(part: str) -> str:
    return f"{{ connectors {{ nodes {{ {part} }} }} }}"


DOCUMENTS = {
    "introspection": get_introspection_query(),
    "equal fields": within("id " * (FIELDS - 2)),
    "aliases": within(named(LIMITS.aliases_per_operation, lambda n: f"a{n}: id") + " id" * 400),
    "directives": within(named(190, lambda n: f"a{n}: id @skip(if: true)")),
    "inline fragments": within("...{id} " * 480),
    "fragments": f"{{ viewer {{ {named(215, lambda n: f'...F{n}')} }} }} "
    + named(215, lambda n: f"fragment F{n} on Viewer {{name}}"),
    "fragments in each other": "{ viewer { ...F0 } } "
    + named(190, lambda n: f"fragment F{n} on Viewer {{name ...F{n + 1}}}")
    + " fragment F190 on Viewer {name}",
    "a circle": "{ viewer { ...F0 } } " + named(190, lambda n: f"fragment F{n} on Viewer {{name ...F{(n + 1) % 190}}}"),
    "unused fragments": "{ viewer { name } } " + named(240, lambda n: f"fragment F{n} on Viewer {{name}}"),
    "operations": named(240, lambda n: f"query Q{n} {{viewer{{name}}}}"),
    "operations that share fragments": named(80, lambda n: f"query Q{n} {{viewer{{...F0}}}}")
    + named(9, lambda n: f"fragment F{n} on Viewer {{name ...F{n + 1}}}")
    + "fragment F9 on Viewer {name}",
    "variables": f"query({named(110, lambda n: f'$a{n}: ID!')}) "
    f"{{ {named(110, lambda n: f'a{n}:node(id:$a{n}){{id}}')} }}",
    "a list": f"{{ connectors(filter: {{statuses: [{'ACTIVE ' * (TOKENS - 20)}]}}) {{ totalCount }} }}",
    "lists in each other": f"{{ connectors(filter: {{sources: {'[' * 190}{']' * 190}}}) {{ totalCount }} }}",
    "an object of mistakes": f"{{ connectors(filter: {{{'a: 1 ' * 620}}}) {{ totalCount }} }}",
    "unknown fields": within(named(FIELDS - 2, lambda n: f"lastSuccessAtlastSuccessAtlastSucc{n}")),
    "unknown arguments": within(named(130, lambda n: f"a{n}: jobs(firsst{n}: 1) {{ totalCount }}")),
    "unknown types": named(110, lambda n: f"query Q{n}($a: ConectorFilter{n}) {{viewer{{name}}}}"),
    "mistakes after lines": f"{{ {chr(10) * 1_000} connectors {{ nodes {{ {named(600, lambda n: f'nam{n}')} }} }} }}",
    "comments": "{ viewer { name } }" + "#\n" * (TOKENS - 20),
    "a long text": f'{{ node(id: "{"x" * (CHARACTERS - 40)}") {{ id }} }}',
    "a long text of escapes": f'{{ node(id: "{(chr(92) + "n") * (CHARACTERS // 2 - 40)}") {{ id }} }}',
    "a block of text": f'{{ node(id: """{(" " * 30 + chr(10)) * 1_500}""") {{ id }} }}',
    "a long name": f"{{ {'x' * (CHARACTERS - 40)} }}",
    "a long number": f"{{ connectors(first: {'9' * (CHARACTERS - 60)}) {{ totalCount }} }}",
    "white space": f"{{ viewer {{ {' ' * (CHARACTERS - 60)} name }} }}",
}
BYTES, VALUES = SERVER.body_bytes, SERVER.values_per_request
TEXTS = {
    "numbers": json.dumps([1] * (VALUES - 1)),
    "too many numbers": "[" + "1," * (BYTES // 2 - 2) + "1]",
    "long numbers": json.dumps([int("9" * 999)] * 1_000),
    "objects": json.dumps([{"a": 1.5}] * (VALUES // 2 - 1)),
    "too many texts": "[" + ",".join(['""'] * (BYTES // 3)) + "]",
    "texts that never end": '",' * (BYTES // 2),
    "a text": f'"{"x" * (BYTES - 2)}"',
    "a text of commas": f'"{"," * (BYTES - 2)}"',
    "a text of escapes": f'"{chr(92)}u00e4{(chr(92) + "u00e4") * (BYTES // 6 - 2)}"',
}


def held_by_document(text: str) -> tuple[float, str]:
    """Milliseconds of processor time between two pauses, and what came of it."""
    steps, longest = Documents(most_bytes=1).steps(SCHEMA, LIMITS, text), 0.0
    while True:
        begin, document = time.process_time(), None
        try:
            next(steps)
        except StopIteration as end:
            document = end.value
        longest = max(longest, (time.process_time() - begin) * 1000)
        if document is not None:
            return longest, document.errors[0].message[:60] if document.errors else "valid"


def held_by_json(text: str) -> tuple[float, str]:
    begin, verdict = time.process_time(), "valid"
    try:
        decode(text, "It", VALUES)
    except BadRequest as error:
        verdict = str(error)[:60]
    return (time.process_time() - begin) * 1000, verdict


def test_the_worst_hold_the_loop_for_so_long(figures: Figures) -> None:
    found = {}
    for kind, texts, hold in (("", DOCUMENTS, held_by_document), ("JSON: ", TEXTS, held_by_json)):
        for name, text in texts.items():
            found[f"{kind}{name}"] = min(hold(text) for _ in range(size(3, 10)))
    ranked = sorted(found.items(), key=lambda each: -each[1][0])
    lines = [f"{name:34} {milliseconds:6.1f} ms  {verdict!r}" for name, (milliseconds, verdict) in ranked]
    figures("\n".join([f"goal: {GOAL} ms", *lines]))
    within_limits = [name for name, (_, verdict) in found.items() if "at most" in verdict and "JSON" not in name]
    assert within_limits == []
    assert ranked[0][1][0] < MOST
