"""What the example payloads of every kind must do, checked from tables.

A kind's test file inherits the checks, and adds what only that system has::

    class TestOnyxPayloads(PayloadContract):
        folder = ONYX
        shape = Shape(free=("credential_json",))
        errors = {"no_credentials": SourceAuthFailed, ...}

An error example is known by its file's name without folder and suffix; every other example by its path.
"""

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from openapi_schema_validator import OAS30Validator
from referencing import Registry
from referencing.jsonschema import DRAFT4

from connectory.http.client import HttpClient
from connectory.model import ConnectorFact, ConnectorStatus, JobFact, JobStatus, Known, SystemErrorCode
from sources.base import (
    ActionNotSupported,
    Source,
    SourceAuthFailed,
    SourceError,
    SourceMismatch,
    SourceRateLimited,
    SourceUnreachable,
)
from tests.paths import EXAMPLES
from tests.sources.canned import Reply, canned
from tests.sources.cases import every_case

#: the code of every error of these kinds; an error that tells more is still one of them
CODES: dict[type[SourceError], SystemErrorCode] = {
    SourceAuthFailed: SystemErrorCode.AUTH_FAILED,
    SourceRateLimited: SystemErrorCode.RATE_LIMITED,
    SourceUnreachable: SystemErrorCode.UPSTREAM_ERROR,
    SourceMismatch: SystemErrorCode.MISMATCH,
    ActionNotSupported: SystemErrorCode.UPSTREAM_ERROR,
}

#: the name of an error example, and the status, body and headers of an answer that should be like it
Refusal = tuple[str, int, Any, Mapping[str, str]]
#: the name of a case, answers of the simulator, and the examples that have their shape
Likeness = tuple[str, Sequence[Any], Sequence[Any]]


def examples(folder: Path) -> list[str]:
    """The paths of all example files below ``folder``."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.json"))


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every value that holds no other, with the keys and places that lead to it; an empty object or list is a leaf."""
    if isinstance(value, dict | list) and value:
        for step, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*path, step))
    else:
        yield path, value


@dataclass(frozen=True)
class Shape:
    """How answers are compared with examples: by the types at every path. Paths go by their endings."""

    #: objects that are not entered, and items of lists that are not (their path ends with ``[]``)
    free: tuple[str, ...] = ()
    #: objects whose keys are names, so that their values share one path
    named: tuple[str, ...] = ()
    #: what only one of both may have
    optional: tuple[str, ...] = ()
    #: answers need not show every type that the examples show
    fewer: bool = False

    def types(self, value: Any, path: str = "") -> dict[str, set[str]]:
        """The type names at every path of a JSON value; items of a list share theirs."""
        found: dict[str, set[str]] = defaultdict(set)
        found[path].add(type(value).__name__)
        inner: list[tuple[str, Any]] = []
        if isinstance(value, dict) and not path.endswith(self.free):
            is_named = path.endswith(self.named)
            inner = [(f"{path}.*" if is_named else f"{path}.{key}", each) for key, each in value.items()]
        elif isinstance(value, list) and not f"{path}[]".endswith(self.free):
            inner = [(f"{path}[]", each) for each in value]
        for place, each in inner:
            for deeper, names in self.types(each, place).items():
                found[deeper] |= names
        return found

    def assert_alike(self, answers: Any, examples: Any) -> None:
        """The same paths in both, and where both tell more than null the same types."""
        ours, theirs = self.types(answers), self.types(examples)
        assert {path for path in ours if not path.endswith(self.optional)} == {
            path for path in theirs if not path.endswith(self.optional)
        }
        both = {path: (ours[path] - {"NoneType"}, theirs[path] - {"NoneType"}) for path in ours.keys() & theirs.keys()}
        differ = {path: pair for path, pair in both.items() if all(pair) and pair[0] != pair[1]}
        assert {path: (mine, told) for path, (mine, told) in differ.items() if not (self.fewer and mine < told)} == {}


class PayloadContract:
    """Inherit, and fill the tables: every example is read by the adapter, or answered alike by the simulator."""

    folder: ClassVar[Path]
    shape: ClassVar[Shape] = Shape()

    #: what the adapter raises → the error examples that make it, in one string
    errors: ClassVar[Mapping[type[SourceError], str]]
    #: error example → the seconds that it asks to wait
    retry_after: ClassVar[Mapping[str, float]] = {}
    #: where a poll may meet an error; ``answered`` is given one of them
    meets: ClassVar[Sequence[str]] = ("",)
    #: bodies of a 422 that no document promises
    odd_bodies: ClassVar[Sequence[Any]]
    #: what the message quotes of such a body that holds it
    quoted: ClassVar[str | None] = None
    #: the longest sentence that such a body makes
    sentence: ClassVar[int] = 500

    #: error examples that ``refusals`` brings the simulator to
    refused: ClassVar[Collection[str]]
    #: why → the error examples that are not among them, in one string
    not_refused: ClassVar[Mapping[str, str]]
    #: headers that the simulator need not send alike, in small letters
    headers_apart: ClassVar[frozenset[str]] = frozenset()

    #: examples that are read or answered in some test
    used: ClassVar[Collection[str]]
    #: examples that neither the adapter nor the simulator has a use for yet, or whose bodies must not be changed
    carried: ClassVar[Collection[str]] = ()

    def read(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text())

    @property
    def error_files(self) -> dict[str, str]:
        """The error examples' files by their names."""
        files = [name for name in examples(self.folder) if "errors" in Path(name).parent.parts]
        found = {Path(name).stem: name for name in files}
        assert len(found) == len(files), "two error examples have the same name"
        return found

    def error(self, name: str) -> Any:
        return self.read(self.error_files[name])

    # ---- errors

    def answered(self, reply: Reply, where: str) -> AbstractAsyncContextManager[Source]:
        """A source whose next poll meets this reply."""
        raise NotImplementedError

    def pieces(self, name: str, example: Any) -> Iterable[str]:
        """What the message about an error example quotes of it."""
        raise NotImplementedError

    async def raised(self, reply: Reply, where: str) -> SourceError:
        async with self.answered(reply, where) as source:
            with pytest.raises(SourceError) as caught:
                await source.poll(Known())
        return caught.value

    async def test_errors_are_told_apart(self) -> None:
        with every_case() as case:
            for name, where in ((name, where) for name in self.error_files for where in self.meets):
                with case(f"{name} {where}"):
                    example = self.error(name)
                    error = await self.raised(Reply.of(example), where)
                    assert [type(error)] == [kind for kind, names in self.errors.items() if name in names.split()]
                    assert error.code is next(code for kind, code in CODES.items() if isinstance(error, kind))
                    assert error.status == example["status"]
                    if isinstance(error, SourceRateLimited):
                        assert error.retry_after == self.retry_after.get(name)
                    for piece in self.pieces(name, example):
                        assert piece in str(error)

    async def test_any_error_body_makes_a_short_sentence(self) -> None:
        with every_case() as case:
            for body in self.odd_bodies:
                with case(body):
                    error = await self.raised(Reply(body, 422), self.meets[0])
                    assert isinstance(error, SourceMismatch)
                    assert len(str(error)) < self.sentence
                    if self.quoted is not None and self.quoted in repr(body):
                        assert self.quoted in str(error)

    # ---- the simulator answers alike

    def refusals(self) -> AsyncIterator[Refusal]:
        """What the simulator says when it is brought to each error of ``refused``."""
        raise NotImplementedError

    def assert_worded(self, body: Any, example: Any) -> None:
        assert body == example

    def header(self, sent: str) -> str:
        """A header's value as far as it must be alike."""
        return sent

    async def test_refusals_are_worded_as_in_the_examples(self) -> None:
        seen = set()
        with every_case() as case:
            async for name, status, body, headers in self.refusals():
                seen.add(name)
                with case(name):
                    example = self.error(name)
                    assert status == example["status"]
                    self.assert_worded(body, example["body"])
                    wanted = {k: v for k, v in example["headers"].items() if k.lower() not in self.headers_apart}
                    sent = {key: self.header(headers.get(key, "")) for key in wanted}
                    assert sent == {key: self.header(value) for key, value in wanted.items()}
        assert seen == set(self.refused)

    def likenesses(self) -> AsyncIterator[Likeness]:
        """Answers of the simulator beside the examples of the same."""
        raise NotImplementedError

    async def test_answers_have_the_shape_of_the_examples(self) -> None:
        with every_case() as case:
            async for name, answers, shown in self.likenesses():
                with case(name):
                    assert answers
                    self.shape.assert_alike(answers, shown)

    # ---- nothing is changed, nothing is left out

    def client(self, url: str) -> HttpClient:
        """The adapter's client for a server at ``url``."""
        raise NotImplementedError

    async def test_bodies_travel_unchanged(self) -> None:
        """In both directions; a client may open the envelope of an answer."""
        with every_case() as case:
            for name in self.carried:
                with case(name):
                    example = self.read(name)

                    async with canned({}) as upstream, self.client(upstream.url) as client:
                        upstream.answers = _Whatever(Reply(example))
                        answer = await client.post("/x", example)
                    assert self.unwrapped(answer) == example
                    assert [asked.body for asked in upstream.asked] == [example]

    def unwrapped(self, answer: Any) -> Any:
        return answer

    def test_no_example_is_left_out(self) -> None:
        errors = self.error_files
        assert {*errors.values(), *self.used, *self.carried} == set(examples(self.folder))
        assert sorted(" ".join(self.errors.values()).split()) == sorted(errors)
        assert sorted([*self.refused, *" ".join(self.not_refused.values()).split()]) == sorted(errors)


class _Whatever(dict[str, Any]):
    """The same reply to everything."""

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self._reply = reply

    def get(self, key: str, default: Any = None) -> Any:
        return self._reply


class VocabularyContract(PayloadContract):
    """Of kinds whose words alone decide the status of a connector or a job."""

    #: what the system calls it → what it means; words in no vocabulary are unknown
    connector_words: ClassVar[Mapping[str, ConnectorStatus]]
    job_words: ClassVar[Mapping[str, JobStatus]]
    #: the mapping's own tables
    vocabularies: ClassVar[tuple[Mapping[Any, ConnectorStatus], Mapping[str, JobStatus]]]

    def connector_called(self, word: str) -> ConnectorFact:
        raise NotImplementedError

    def job_called(self, word: str) -> JobFact:
        raise NotImplementedError

    def test_words(self) -> None:
        with every_case() as case:
            for word, status in self.connector_words.items():
                with case(f"connector {word}"):
                    fact = self.connector_called(word)
                    assert (fact.status, fact.upstream_status) == (status, word)
            for word, meant in self.job_words.items():
                with case(f"job {word}"):
                    job = self.job_called(word)
                    assert (job.status, job.upstream_status) == (meant, word)

    def test_the_vocabularies_hold_nothing_else(self) -> None:
        connectors, jobs = self.vocabularies
        assert {word for word in connectors if word is not None} <= self.connector_words.keys()
        assert jobs.keys() <= self.job_words.keys()


class Document:
    """A vendor's OpenAPI document; ``relax`` makes of its schemas what real answers need."""

    def __init__(self, name: str, relax: Callable[[Any], Any]) -> None:
        self.content = json.loads((EXAMPLES / "openapi" / f"{name}.json").read_text())
        relaxed = {**self.content, "components": relax(self.content["components"])}
        self._urn = f"urn:{name}"
        self._registry: Registry[Any] = Registry().with_resource(self._urn, DRAFT4.create_resource(relaxed))
        self._validators: dict[str, OAS30Validator] = {}

    def complaints(self, schema: str, *values: Any) -> set[str]:
        """What is wrong with values of this schema."""
        if schema not in self._validators:
            place = {"$ref": f"{self._urn}#/components/schemas/{schema}"}
            self._validators[schema] = OAS30Validator(place, registry=self._registry)
        found = (error for value in values for error in self._validators[schema].iter_errors(value))
        return {f"{error.json_path}: {error.message[:300]}" for error in found}


class DocumentContract:
    """The examples are valid, so that a complaint about the simulator is the simulator's fault."""

    document: ClassVar[Document]
    #: schema → the examples of it, by name
    sound: ClassVar[Mapping[str, Mapping[str, Any]]]
    #: schema and a value that is none of it
    unsound: ClassVar[Sequence[tuple[str, Any]]]

    def simulated(self) -> AsyncIterator[tuple[str, Sequence[Any]]]:
        """Schemas, and what the simulator answers of each."""
        raise NotImplementedError

    def test_the_examples_are_valid(self) -> None:
        with every_case() as case:
            for schema, named in self.sound.items():
                for name, value in named.items():
                    with case(name):
                        assert self.document.complaints(schema, value) == set()

    def test_the_document_refuses_what_is_wrong(self) -> None:
        with every_case() as case:
            for schema, value in self.unsound:
                with case((schema, value)):
                    assert self.document.complaints(schema, value)

    async def test_simulated_answers_are_valid(self) -> None:
        with every_case() as case:
            async for schema, answers in self.simulated():
                with case(schema):
                    assert answers
                    assert self.document.complaints(schema, *answers) == set()
