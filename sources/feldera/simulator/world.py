"""A simulated Feldera in motion: what happens to pipelines, second by second (feldera.md §7, §8).

``population.py`` says who lives in it; ``views.py`` says how it is shown.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sources.feldera.simulator.deployment import Pipeline, panic
from sources.feldera.simulator.endpoints import Endpoint, Profile
from sources.simulation import World

VERSION = "0.337.0"
COMPILED = "Success"
#: Records that the circuit takes of one input in a second.
CAPACITY = 70
BOOTSTRAP = 6


class FelderaWorld(World):
    """All pipelines by name. Empty until populated."""

    def __init__(self, *, seed: int, start: datetime) -> None:
        super().__init__(seed=seed, start=start)
        self.pipelines: dict[str, Pipeline] = {}
        self.edition = "Open source"
        #: what is wrong with the manager's compiler; None when it is well
        self.compiler_trouble: str | None = None
        self.after(1, self._tick)

    def uuid(self) -> UUID:
        return UUID(int=self.random.getrandbits(128), version=4)

    def add(self, name: str, **values: Any) -> Pipeline:
        pipeline = Pipeline(self.uuid(), name, self.now - timedelta(days=30), **values)
        self.pipelines[name] = pipeline
        self._mark(pipeline, "status", "desired", "resources", "resources_desired")
        pipeline.program_since = self.now - timedelta(days=1)
        return pipeline

    def _mark(self, pipeline: Pipeline, *what: str) -> None:
        pipeline.since |= dict.fromkeys(what, self.now)

    # ---- what people do

    def start_pipeline(self, pipeline: Pipeline, initial: str = "Running") -> None:
        """Wanted from now on; begins when the program is compiled."""
        pipeline.resources_desired, pipeline.initial = "Provisioned", initial
        self._mark(pipeline, "desired", "resources_desired")
        if pipeline.program_status == COMPILED:
            self._provision(pipeline)

    def hold(self, pipeline: Pipeline, word: str) -> None:
        """``Paused`` or ``Running``: wanted at once, reached a second later."""
        pipeline.runtime_desired = word
        self._mark(pipeline, "desired", "runtime_desired")
        self.after(1, lambda: self._reach(pipeline, word))

    def _reach(self, pipeline: Pipeline, word: str) -> None:
        if pipeline.runtime in ("Paused", "Running") and pipeline.runtime_desired == word:
            self._become(pipeline, word)

    def stop(self, pipeline: Pipeline, error: Mapping[str, Any] | None = None) -> None:
        """Ends the run; with an error it was not wanted."""
        if pipeline.resources == "Stopped":
            pipeline.resources_desired = "Stopped"
            self._mark(pipeline, "desired", "resources_desired")
            return
        pipeline.error = dict(error) if error else pipeline.error
        pipeline.resources, pipeline.resources_desired = "Stopping", "Stopped"
        self._leave(pipeline)
        self._mark(pipeline, "status", "desired", "resources", "resources_desired")
        self.after(self.random.uniform(2, 4), lambda: self._stopped(pipeline))

    def _stopped(self, pipeline: Pipeline) -> None:
        if pipeline.resources == "Stopping":
            pipeline.resources = "Stopped"
            self._mark(pipeline, "status", "resources")

    def _leave(self, pipeline: Pipeline) -> None:
        pipeline.runtime = pipeline.runtime_desired = pipeline.reason = pipeline.initial = None
        pipeline.deployment = pipeline.incarnation = pipeline.started = None
        pipeline.endpoints = [e for e in pipeline.endpoints if not e.ad_hoc]

    def fail(self, pipeline: Pipeline, message: str) -> None:
        """An error that the pipeline does not survive."""
        self.stop(pipeline, panic(message))

    def compile(self, pipeline: Pipeline, seconds: float = 4) -> None:
        """Word by word; then an early start goes on."""
        words = ("CompilingSql", "SqlCompiled", "CompilingRust", COMPILED)
        for number, word in enumerate(words, 1):
            self.after(seconds * number, lambda word=word: self._compiled(pipeline, word))  # type: ignore[misc]

    def _compiled(self, pipeline: Pipeline, word: str) -> None:
        pipeline.program_status, pipeline.program_since = word, self.now
        pipeline.refresh_version += 1
        if word == COMPILED and pipeline.resources_desired == "Provisioned":
            self._provision(pipeline)

    def clear(self, pipeline: Pipeline) -> None:
        pipeline.storage = "Clearing"
        self.after(3, lambda: setattr(pipeline, "storage", "Cleared"))

    # ---- how a run begins

    def _provision(self, pipeline: Pipeline) -> None:
        pipeline.resources, pipeline.deployment = "Provisioning", self.uuid()
        pipeline.storage = "InUse"
        self._mark(pipeline, "status", "resources")
        deployment = pipeline.deployment
        self.after(pipeline.provisioning, lambda: self._initialize(pipeline, deployment))

    def _initialize(self, pipeline: Pipeline, deployment: UUID) -> None:
        if pipeline.deployment != deployment or pipeline.resources != "Provisioning":
            return
        pipeline.resources = "Provisioned"
        pipeline.runtime_desired = pipeline.initial
        self._mark(pipeline, "resources", "runtime_desired")
        self._become(pipeline, "AwaitingApproval" if pipeline.needs_approval else "Initializing")
        if not pipeline.needs_approval:
            names = [endpoint.name for endpoint in pipeline.inputs]
            pipeline.reason = f"opening connector '{names[0]}'" if names else None
            self.after(self.random.uniform(2, 4), lambda: self.open(pipeline, deployment))

    def open(self, pipeline: Pipeline, deployment: UUID | None) -> None:
        """The process answers: a new incarnation, counters at 0."""
        if pipeline.deployment != deployment or pipeline.runtime not in ("Initializing", "AwaitingApproval"):
            return
        pipeline.incarnation, pipeline.started, pipeline.reason = self.uuid(), self.now, None
        pipeline.first_started = pipeline.first_started or self.now
        pipeline.processed = pipeline.steps = pipeline.age = 0
        for endpoint in pipeline.endpoints:
            endpoint.reset()
        self._become(pipeline, "Bootstrapping" if pipeline.bootstraps else pipeline.initial or "Running")
        if pipeline.bootstraps:
            self.after(BOOTSTRAP, lambda: self._computed(pipeline, deployment))

    def _computed(self, pipeline: Pipeline, deployment: UUID | None) -> None:
        if pipeline.deployment == deployment and pipeline.runtime == "Bootstrapping":
            self._become(pipeline, pipeline.initial or "Running")

    def _become(self, pipeline: Pipeline, word: str) -> None:
        pipeline.runtime = word
        self._mark(pipeline, "status", "runtime")

    def run_since(self, pipeline: Pipeline, seconds: int, initial: str = "Running") -> None:
        """Let it have started so long ago, with all that has happened since."""
        now, self.now = self.now, self.now - timedelta(seconds=seconds)
        pipeline.resources = pipeline.resources_desired = "Provisioned"
        pipeline.deployment, pipeline.initial = self.uuid(), "Running"
        pipeline.runtime, pipeline.runtime_desired = "Initializing", "Running"
        self._mark(pipeline, "status", "desired", "resources", "resources_desired", "runtime_desired")
        bootstraps, pipeline.bootstraps = pipeline.bootstraps, False
        self.open(pipeline, pipeline.deployment)
        pipeline.bootstraps = bootstraps
        for _ in range(seconds):
            self.now += timedelta(seconds=1)
            self._work(pipeline)
        self.now = now
        if initial != "Running":
            pipeline.runtime_desired = initial
            self._mark(pipeline, "desired", "runtime_desired")
            self._become(pipeline, initial)

    # ---- what the circuit does

    def _tick(self) -> None:
        self.after(1, self._tick)
        for pipeline in list(self.pipelines.values()):
            if pipeline.resources == "Provisioned" and pipeline.runtime == "Running" and pipeline.fault is None:
                self._work(pipeline)

    def _work(self, pipeline: Pipeline) -> None:
        pipeline.age += 1
        taken = 0
        for endpoint in pipeline.inputs:
            endpoint.step(self.now, self.random)
            endpoint.receive(self.random)
            latency = self.random.randint(9_000, 40_000)
            taken += endpoint.be_taken(CAPACITY, self.now, latency)
        pipeline.processed += taken
        pipeline.steps += 1 if taken else 0
        for endpoint in pipeline.outputs:
            endpoint.step(self.now, self.random)
            endpoint.send(taken, pipeline.steps, self.random)

    # ---- HTTP ingress

    def visit(self, pipeline: Pipeline, relation: str) -> None:
        """Somebody sends records by HTTP for a while, again and again."""
        self.after(self.random.uniform(60, 90), lambda: self.visit(pipeline, relation))
        if not pipeline.is_serving:
            return
        name = f"api-ingress-{self.random.getrandbits(64):016x}"
        guest = Endpoint(relation, name, True, "http_input", profile=Profile((1, 3), size=40), ad_hoc=True)
        pipeline.endpoints.append(guest)
        self.after(self.random.uniform(25, 40), lambda: self._part(pipeline, guest))

    def _part(self, pipeline: Pipeline, guest: Endpoint) -> None:
        if guest in pipeline.endpoints:
            pipeline.endpoints.remove(guest)
