"""Fields of one name: the verdicts are those of graphql-core's own rule, in time that grows with the fields alone."""

import time
from collections import Counter
from random import Random

import pytest
from graphql import DocumentNode, build_schema, parse, validate
from graphql.validation import NoUnusedFragmentsRule, OverlappingFieldsCanBeMergedRule

from connectory.execution.merging import TooTangled, find_conflict

SCHEMA = build_schema("""
    interface Being { id: ID name: String! friend: Being friends: [Being] size(unit: String, at: At): Int }
    input At { x: Int y: Int }
    enum Color { RED }
    type Dog implements Being {
      id: ID name: String! friend: Being friends: [Being] size(unit: String, at: At): Int
      bark: Int color: Color owner: Person other: Dog names: [String] }
    type Cat implements Being {
      id: ID name: String! friend: Being friends: [Being] size(unit: String, at: At): Int
      bark: String color: String owner: Person other: Cat names: [String!] }
    type Person { name: String pet: Being pets: [Pet!] dog: Dog owner: String }
    union Pet = Dog | Cat
    type Query { being: Being pet: Pet person: Person dog: Dog cat: Cat beings: [Being] }
""")
OBJECTS = ("Query", "Being", "Dog", "Cat", "Pet", "Person")
_MUCH = 10**6
ARGUMENTS = (
    "",
    '(unit: "m")',
    '(unit: """m""")',
    "(at: {x: 1, y: 2})",
    "(at: {y: 2, x: 1})",
    "(unit: $u)",
    "(unit: null)",
)
CONDITIONS = ("Being", "Dog", "Cat", "Pet", "Person")


class Writer:
    """Writes documents that are valid, but for fields that cannot be merged."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.fragments: list[tuple[str, str]] = []

    def document(self) -> str:
        for n in range(self.chance.randrange(4)):
            of = self.chance.choice(CONDITIONS)
            text = self.selection(of, 2)  # may spread those before it alone
            self.fragments.append((of, f"fragment F{n} on {of} {text}"))
        body = self.selection("Query", 4)
        text = " ".join([f"query($u: String) {body}", *(text for _, text in self.fragments)])
        return text if "$u" in text else text.replace("query($u: String)", "query", 1)

    def selection(self, of: str, depth: int) -> str:
        return "{ " + " ".join(self.part(of, depth) for _ in range(self.chance.randint(1, 3))) + " }"

    def part(self, of: str, depth: int) -> str:
        chance = self.chance.random()
        if chance < 0.15 and depth and of != "Query":
            inner = self.chance.choice([None, of, *(other for other in CONDITIONS if _overlap(of, other))])
            return f"... {f'on {inner} ' if inner else ''}{self.selection(inner or of, depth - 1)}"
        fitting = [n for n, (other, _) in enumerate(self.fragments) if _overlap(of, other)]
        if chance < 0.3 and fitting and of != "Query":
            return f"...F{self.chance.choice(fitting)}"
        return self.field(of, depth)

    def field(self, of: str, depth: int) -> str:
        fields = getattr(SCHEMA.type_map[of], "fields", {})
        names = [name for name, field in fields.items() if depth or _named(field.type) not in OBJECTS]
        name = self.chance.choice([*names, "__typename"])
        alias = self.chance.choice([*[""] * 30, "a: ", "name: ", "friend: "])
        if name == "__typename":
            return f"{alias}{name}"
        inner = _named(fields[name].type)
        arguments = self.chance.choice(ARGUMENTS) if name == "size" and self.chance.random() < 0.2 else ""
        below = self.selection(inner, depth - 1) if inner in OBJECTS else ""
        return f"{alias}{name}{arguments} {below}"


def _named(type_: object) -> str:
    return str(type_).strip("[]!")


def _overlap(of: str, other: str) -> bool:
    """Whether anything can be both."""
    kinds = {"Being": {"Dog", "Cat"}, "Pet": {"Dog", "Cat"}}
    return bool(kinds.get(of, {of}) & kinds.get(other, {other}))


def theirs(document: DocumentNode) -> bool:
    return not validate(SCHEMA, document, [OverlappingFieldsCanBeMergedRule])


def ours(document: DocumentNode) -> bool:
    return find_conflict(SCHEMA, document, _MUCH) is None


def test_verdicts_are_those_of_graphql_core() -> None:
    found: Counter[bool] = Counter()
    for seed in range(700):
        text = Writer(Random(seed)).document()
        document = parse(text)
        if validate(SCHEMA, document, [NoUnusedFragmentsRule]):
            continue
        verdict = theirs(document)
        assert ours(document) is verdict, (seed, text)
        found[verdict] += 1
    assert min(found[True], found[False]) > 70, found


CONFLICTS = {
    "{ dog { a: name a: bark } }": "'name' and 'bark' are different fields",
    '{ dog { size(unit: "m") size(unit: "cm") } }': "they have differing arguments",
    "{ dog { size size(unit: null) } }": "they have differing arguments",
    "{ being { ... on Dog { bark } ... on Cat { bark } } }": "they return conflicting types 'Int' and 'String'",
    "{ being { ... on Dog { names } ... on Cat { names } } }": "conflicting types '[String]' and '[String!]'",
    "{ being { ... on Dog { x: name } ... on Cat { x: id } } }": "they return conflicting types 'String!' and 'ID'",
    "{ being { ... on Dog { owner { x: name } } ... on Cat { owner { x: dog { id } } } } }": "conflicting types",
    "{ beings { ...F friend { a: id } } } fragment F on Being { friend { a: name } }": "different fields",
    "{ person { a: pet { id } a: pets { __typename } } }": "different fields",
}


@pytest.mark.parametrize("text", CONFLICTS)
def test_conflicts_are_named(text: str) -> None:
    error = find_conflict(SCHEMA, parse(text), _MUCH)
    assert error
    assert CONFLICTS[text] in error.message
    assert len(error.nodes or ()) == 2
    assert not theirs(parse(text))


@pytest.mark.parametrize(
    "text",
    [
        "{ being { ... on Dog { x: name } ... on Cat { x: name } } }",
        "{ being { ... on Dog { x: friend { id } } ... on Cat { x: friend { id: __typename } } } }".replace("id: ", ""),
        "{ dog { size(at: {x: 1, y: 2}) size(at: {y: 2, x: 1}) } }",
        "{ dog { ...F ...F friend { ...G } } } fragment F on Dog { friend { ...G } } fragment G on Being { id }",
    ],
)
def test_what_can_be_merged(text: str) -> None:
    assert ours(parse(text))
    assert theirs(parse(text))


def test_comparisons_are_bounded() -> None:
    document = parse("{ dog { friend { name id } friend { name id } } }")
    assert find_conflict(SCHEMA, document, 20) is None
    with pytest.raises(TooTangled):
        find_conflict(SCHEMA, document, 10)


def test_time_grows_with_the_fields_alone() -> None:
    def seconds(count: int) -> float:
        document = parse("{ dog { " + "name " * count + "} }")
        begin = time.process_time()
        assert ours(document)
        return time.process_time() - begin

    assert min(seconds(4_000) for _ in range(3)) < 40 * min(seconds(400) for _ in range(3))
