"""What the tests of Feldera stand on: a hand-made Feldera, the simulated one, and the example payloads."""

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from connectory.model import ConnectorFact, JobFact, Known, Observation
from sources.feldera.settings import FelderaSettings
from sources.feldera.simulator.app import simulator
from sources.feldera.simulator.checks import TOKEN
from sources.feldera.simulator.world import FelderaWorld
from sources.feldera.source import FelderaSource
from sources.simulation import REQUESTS, WORLD, Clock, serve
from tests.paths import EXAMPLES
from tests.sources.canned import Asked, Canned, Reply, canned
from tests.sources.contract import START, Hand
from tests.sources.payloads import examples

FELDERA = EXAMPLES / "feldera"
LIST = "/v0/pipelines"
INCARNATION = "0198c3f2-6d10-7cc3-98c4-dc0c0c07398f"
Answer = Reply | Callable[[Asked], Reply]
FILES = examples(FELDERA)
INPUTS = [name for name in FILES if name.startswith("input/")]
OUTPUTS = [name for name in FILES if name.startswith("output/")]
STATS = [name for name in FILES if name.startswith("pipeline_stats/")]
PIPELINES = [name for name in FILES if name.startswith("pipelines/")]
EVERY_STATUS = "pipelines/list.selector_status.every_status.response.json"
WITH_PROGRAM = "pipelines/get.selector_all.stopped_with_program_info.response.json"


def read(name: str) -> Any:
    return json.loads((FELDERA / name).read_text())


def pipeline(name: str, word: str = "Running", **changes: Any) -> dict[str, Any]:
    return {
        **read("pipelines/get.selector_status.running.response.json"),
        "name": name,
        "id": f"id of {name}",
        "deployment_status": word,
        "deployment_runtime_status_details": None,
        **changes,
    }


def metrics(**changes: Any) -> dict[str, Any]:
    return {**read("input/stats.running.response.json")["metrics"], "num_parse_errors": 0, **changes}


def an_input(name: str = "orders.kafka_orders", **changes: Any) -> dict[str, Any]:
    """An input without errors, as servers show it since 2026-04-29."""
    stream = name.rpartition(".")[0]
    return {
        **read("input/stats.just_started.response.json"),
        "endpoint_name": name,
        "config": {"stream": stream},
        "metrics": metrics(),
        **changes,
    }


def an_output(name: str = "order_totals.kafka_out", **changes: Any) -> dict[str, Any]:
    return {**read("output/stats.running.response.json"), "endpoint_name": name, **changes}


def counters(*inputs: Any, outputs: Any = (), run: Mapping[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A ControllerStatus."""
    body = read("pipeline_stats/no_connectors.response.json")
    told = {**body["global_metrics"], "pipeline_complete": False, **(run or {})}
    return {**body, "global_metrics": told, "inputs": list(inputs), "outputs": list(outputs), **changes}


def program(name: str, inputs: Mapping[str, Any] | None = None, outputs: Mapping[str, Any] | None = None) -> Any:
    """A pipeline with its configured connectors."""
    schema: dict[str, Any] = {"inputs": [], "outputs": []}
    info = {"schema": schema, "udf_stubs": "", "input_connectors": inputs or {}, "output_connectors": outputs or {}}
    return {**pipeline(name), "program_info": info}


def configured_kafka(stream: str = "orders", **options: Any) -> dict[str, Any]:
    return {"stream": stream, "transport": {"name": "kafka_input", "config": options}, "format": None}


class Upstream:
    """A hand-made Feldera: pipelines, their programs and counters, each to be changed at will."""

    def __init__(self) -> None:
        self.listed: list[Any] = []
        self.programs: dict[str, Any] = {}
        self.counters: dict[str, Reply] = {}
        self.endpoints: dict[str, Reply] = {}
        self.served: Canned

    def add(self, entry: dict[str, Any], stats: Any = None, info: Any = None) -> None:
        name = entry["name"]
        self.listed.append(entry)
        self.programs[name] = info or program(name)
        if stats is not None:
            self.counters[name] = stats if isinstance(stats, Reply) else Reply(stats)

    def answer(self, asked: Asked) -> Reply:
        parts = asked.path.removeprefix(LIST).strip("/").split("/", 1)
        if parts == [""]:
            return Reply(self.listed)
        name, rest = parts[0], parts[1:]
        if rest == ["stats"]:
            return self.counters.get(name, error_reply("not_deployed"))
        if rest:
            return self.endpoints.get(rest[0], error_reply("unknown_input_endpoint"))
        entry = next((e for e in self.listed if isinstance(e, dict) and e.get("name") == name), None)
        if entry is None:
            return error_reply("unknown_pipeline")
        if asked.query.get("selector") == "all":
            info = self.programs[name]
            return info if isinstance(info, Reply) else Reply({**info, **entry})
        return Reply(entry)

    @property
    def asked(self) -> list[str]:
        """What was asked for below the list, since ``asked`` was last cleared."""
        return [a.path.removeprefix(f"{LIST}/") + _how(a) for a in self.served.asked if a.path != LIST]

    def forget(self) -> None:
        self.served.asked.clear()


def _how(asked: Asked) -> str:
    return f"?{asked.query['selector']}" if "selector" in asked.query else ""


def error_reply(name: str) -> Reply:
    example = read(f"errors/{name}.json")
    headers = {key: value for key, value in example["headers"].items() if key.lower() != "content-type"}
    kind = example["headers"].get("content-type", "application/json").split(";")[0]
    body = example["body"]
    if kind != "application/json" or body == "":
        text = body if isinstance(body, str) else json.dumps(body)
        return Reply(status=example["status"], headers=headers, text=text, content_type=kind)
    return Reply(body, example["status"], headers)


def configured(url: str, **changes: Any) -> FelderaSettings:
    return FelderaSettings.model_validate({"name": "sim", "kind": "feldera", "url": url, **changes})


@asynccontextmanager
async def feldera(*pipelines: Any, **settings: Any) -> AsyncIterator[tuple[FelderaSource, Upstream]]:
    """``pipelines`` are the arguments of ``Upstream.add``."""
    upstream = Upstream()
    for arguments in pipelines:
        upstream.add(*(arguments if isinstance(arguments, tuple) else (arguments,)))
    answers = {f"GET {LIST}": upstream.answer}
    async with canned(answers) as served:
        served.answers = _Everything(upstream.answer)
        upstream.served = served
        source = FelderaSource(configured(served.url, **settings))
        try:
            yield source, upstream
        finally:
            await source.close()


class _Everything(dict[str, Any]):
    """The same answerer for every path."""

    def __init__(self, answer: Callable[[Asked], Reply]) -> None:
        super().__init__()
        self._answer = answer

    def get(self, key: str, default: Any = None) -> Any:
        return self._answer


def shown(fact: ConnectorFact | JobFact) -> dict[str, Any]:
    """The details of a fact."""
    assert fact.details is not None
    said: dict[str, Any] = json.loads(fact.details.json)
    return said


async def polled(stats: Any, word: str = "Running", info: Any = None) -> Observation:
    """What a poll sees of the pipeline ``p`` with these counters."""
    async with feldera((pipeline("p", word), stats, info)) as (source, _):
        return await source.poll(Known())


async def polled_endpoint(sent: Any, *, is_input: bool, word: str = "Running") -> tuple[ConnectorFact, JobFact]:
    stats = counters(sent) if is_input else counters(outputs=[sent])
    seen = await polled(stats, word)
    assert seen.complete
    assert not seen.problems
    (fact,), (job,) = seen.connectors, seen.jobs
    return fact, job


class Api:
    """The simulator's answers, as an administrator gets them."""

    def __init__(
        self, session: aiohttp.ClientSession, world: FelderaWorld, url: str, hand: Hand, requests: list[str]
    ) -> None:
        self.session, self.world, self.url, self.hand = session, world, url, hand
        #: "METHOD path" of all that were answered so far
        self.requests = requests

    async def ask(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        headers = options.pop("headers", {"Authorization": f"Bearer {TOKEN}"})
        options |= {"json": body} if body is not None else {}
        async with self.session.request(method, f"{self.url}{path}", headers=headers, **options) as response:
            text = await response.text()
            self.headers = response.headers
            return response.status, json.loads(text) if text else None

    async def get(self, path: str) -> Any:
        status, body = await self.ask("GET", path)
        assert status == 200, body
        return body

    def pass_time(self, seconds: float) -> None:
        """For the served world, at once."""
        self.hand.move(seconds)


async def gathered(api: Api, rounds: int, seconds: float) -> dict[str, list[Any]]:
    """What the simulator answers in a while, by kind."""
    found: dict[str, list[Any]] = defaultdict(list)
    for _ in range(rounds):
        for selector in ("status", "status_with_connectors", "all"):
            found[selector] += await api.get(f"{LIST}?selector={selector}")
        for name in [p.name for p in api.world.pipelines.values() if p.is_serving]:
            for texts in ("true", "false"):
                body = await api.get(f"{LIST}/{name}/stats?include_connector_errors={texts}")
                found["stats"].append(body)
                found["input"] += body["inputs"] if texts == "true" else []
                found["output"] += body["outputs"] if texts == "true" else []
        api.pass_time(seconds)
    return found


@asynccontextmanager
async def simulated(**options: Any) -> AsyncIterator[Api]:
    hand = Hand()
    app = simulator(seed=7, clock=Clock(start=START, wall=hand), **options)
    world = app[WORLD]
    assert isinstance(world, FelderaWorld)
    async with serve(app) as running, aiohttp.ClientSession() as session:
        yield Api(session, world, running.url, hand, app[REQUESTS])
