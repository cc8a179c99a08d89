"""Large answers, as Elastic's lists are: decoded to what ``json`` makes of them, while the event loop has its turns."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from connectory.http.decoding import decode
from connectory.model import Known
from sources.base import SourceMismatch
from sources.elastic import SOURCE
from sources.elastic.simulator.app import simulator
from sources.elastic.simulator.checks import API_KEY
from sources.elastic.simulator.documents import default_filtering, new_connector
from sources.elastic.simulator.world import ElasticWorld
from sources.elastic.source import ElasticSource
from sources.simulation import FAULTS, WORLD, Clock, serve
from tests.sources.cases import cases
from tests.sources.contract import START, Hand

#: Entries enough for several stretches of any decoding.
MANY = 3_000


def standard(raw: bytes) -> Any:
    """What the standard parser makes of it; the word "refused" where it raises."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        return json.loads(raw, parse_constant=refuse)
    except (ValueError, RecursionError):
        return "refused"


async def ours(raw: bytes, **options: Any) -> Any:
    try:
        return await decode(raw, **options)
    except ValueError:
        return "refused"


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types: 1 and 1.0 differ."""
    return repr(one) == repr(other)


TEXTS = [
    "",
    " ",
    "null",
    " true ",
    "1",
    "-0",
    "-0.0",
    "1e2",
    "1e999",
    "9223372036854775808",
    "123456789012345678901234567890",
    "9007199254740993.0",
    '"a"',
    r'"\ud800"',
    r'"\ud83d\ude00"',
    '"é"',
    "{}",
    "[]",
    " { } ",
    " [ ] ",
    "[1, 2 ,3]",
    '{"a": [], "b": {}, "c": [ ] , "d":[{}]}',
    '{"a":1,"a":[2]}',
    '{"a":{"b":{"c":{"d":[1,{"e":[]}]}}}}',
    '[[1],[[2]],[[[3]]],{"a":[4]}]',
    '[{"a":[{"b":[1]}]},{"a":[]}]',
    '{"results":[{"id":"x"},null,7,"y",[1]],"count":5}',
    "NaN",
    "Infinity",
    '{"a":[NaN]}',
    '{"a":-Infinity}',
    "[1,]",
    "[,1]",
    "[1 2]",
    "[1",
    "[",
    "{",
    '{"a"}',
    '{"a":}',
    '{"a":1,}',
    '{"a":1 "b":2}',
    "{1:2}",
    "{'a':1}",
    '{"a":[1}',
    '{"a":1]',
    "[1]]",
    "{}{}",
    "01",
    "nul",
    '"a',
    '{"a":"\n"}',
    "<html>",
    "\ufeff[1]",
    "[1]\x00",
    "[1]\xa0",
]


@cases("text", TEXTS)
@cases("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
async def test_values_are_those_of_the_standard_parser(text: str, encoding: str) -> None:
    try:
        raw = text.encode(encoding)
    except UnicodeEncodeError:
        return
    assert same(await ours(raw), standard(raw))
    # the long way is taken for an answer that is large, and whenever entries are taken one by one
    assert same(await ours(raw, each=lambda entry: entry), standard(raw))
    padded = raw + " ".encode(encoding.removesuffix("-sig")) * 40_000 if encoding != "utf-16" else raw
    assert same(await ours(padded), standard(padded))


def value(chance: random.Random, depth: int) -> Any:
    kind = chance.randrange(8 if depth < 5 else 6)
    if kind == 6:
        return [value(chance, depth + 1) for _ in range(chance.randrange(5))]
    if kind == 7:
        return {chance.choice('abcdé"\\ '): value(chance, depth + 1) for _ in range(chance.randrange(5))}
    return chance.choice([None, True, False, 0, -1, 2**63, 2**70, 1.5, -1e300, "", 'a"b\\c\n', "\ud800", "é\u2028😀"])


@cases("seed", range(40))
async def test_texts_made_by_chance(seed: int) -> None:
    chance = random.Random(seed)
    made = [value(chance, 1) for _ in range(20)] if seed % 2 else {str(n): value(chance, 1) for n in range(20)}
    indent, ascii_only = chance.choice([None, 1]), chance.random() < 0.5
    raw = json.dumps(made, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert same(await ours(raw, each=lambda entry: entry), standard(raw))
    for _ in range(60):
        broken = bytearray(raw)
        broken[chance.randrange(len(broken))] = chance.choice(b'[]{},:"\\ 0eN')
        assert same(await ours(bytes(broken), each=lambda entry: entry), standard(bytes(broken)))
        cut = raw[: chance.randrange(len(raw))]
        assert same(await ours(cut, each=lambda entry: entry), standard(cut))


async def test_nesting_without_end_is_refused() -> None:
    for opening in ("[", '{"a":', '{"a":['):
        assert await ours(opening.encode() * 200_000) == "refused"


async def test_entries_are_taken_one_by_one() -> None:
    body = {"count": 2, "results": [{"id": 1, "tags": ["x"]}, {"id": 2}], "more": {"results": [3]}}
    taken: list[Any] = []
    read = await decode(json.dumps(body).encode(), taken.append)
    assert read == {"count": 2, "results": [None, None], "more": {"results": [None]}}
    assert taken == [{"id": 1, "tags": ["x"]}, {"id": 2}, 3]
    groups = [{"source": "a", "entries": [1, 2]}, {"source": "b", "entries": []}]
    assert await decode(json.dumps(groups).encode(), str) == [
        {"source": "a", "entries": ["1", "2"]},
        {"source": "b", "entries": []},
    ]


@cases("shape", ["object", "groups"])
async def test_a_large_answer_lets_others_run(shape: str) -> None:
    entries = [{"id": str(number), "configuration": {"host": {"value": "x" * 300}}} for number in range(MANY)]
    body = {"results": entries} if shape == "object" else [{"source": "a", "entries": entries}]
    raw = json.dumps(body).encode()
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.ensure_future(count())
    try:
        assert await decode(raw) == body
    finally:
        counting.cancel()
    assert turns > len(raw) // 50_000


async def test_a_poll_maps_few_connectors_between_two_turns() -> None:
    app = simulator(clock=Clock(start=START, wall=Hand()), connectors=0, jobs_per_connector=0)
    filtering, world = default_filtering("2026-03-02T08:00:00.000Z"), app[WORLD]
    assert isinstance(world, ElasticWorld)
    for number in range(MANY):
        given = {"name": f"c{number}", "index_name": f"search-{number}", "service_type": "s3"}
        world.connectors[str(number)] = new_connector(str(number), filtering, given)
    async with serve(app) as running, reading(running.url) as source:
        answered, taken, most = source.client.request, 0, 0

        async def request(method: str, path: str, *, each: Callable[[Any], Any] | None = None, **options: Any) -> Any:
            def take(entry: Any) -> Any:
                nonlocal taken
                taken += 1
                return each(entry) if each else entry

            return await answered(method, path, each=take, **options)

        async def watch() -> None:
            nonlocal taken, most
            while True:
                most, taken = max(most, taken), 0
                await asyncio.sleep(0)

        source.client.request = request  # type: ignore[method-assign]
        watching = asyncio.ensure_future(watch())
        try:
            assert len((await source.poll(Known())).connectors) == MANY
        finally:
            watching.cancel()
    assert 0 < most < 60


async def test_an_answer_that_breaks_off_is_a_mismatch() -> None:
    app = simulator(clock=Clock(start=START, wall=Hand()), connectors=40, jobs_per_connector=2)
    app[FAULTS].truncate = True
    async with serve(app) as running, reading(running.url) as source:
        with pytest.raises(SourceMismatch, match="not JSON"):
            await source.poll(Known())


@asynccontextmanager
async def reading(url: str) -> AsyncIterator[ElasticSource]:
    source = SOURCE.open(
        SOURCE.settings.model_validate({"name": "e", "kind": "elastic", "url": url, "api_key": API_KEY})
    )
    assert isinstance(source, ElasticSource)
    try:
        yield source
    finally:
        await source.close()
