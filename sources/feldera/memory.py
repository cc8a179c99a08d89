"""What an adapter keeps between polls so as not to ask again: configured connectors, and texts of errors."""

from dataclasses import dataclass, field
from typing import Any

from connectory.model import JsonObject
from sources.feldera.pipelines import Pipeline, Program

#: The counters of errors, of inputs and of outputs.
_COUNTERS = ("num_parse_errors", "num_encode_errors", "num_transport_errors")
#: The lists of texts that belong to them.
LISTS = ("parse_errors", "encode_errors", "transport_errors")


@dataclass(frozen=True, slots=True)
class Texts:
    """The lists that the per-connector route gave when the counters stood so."""

    incarnation: str | None
    counted: tuple[Any, ...]
    lists: JsonObject


@dataclass(slots=True)
class Memory:
    """Of one adapter. It only spares requests: a new adapter reads the same facts."""

    #: by pipeline name: the edition that was read, and what it said
    programs: dict[str, tuple[tuple[str, ...], Program]] = field(default_factory=dict)
    #: by pipeline name and endpoint name
    texts: dict[tuple[str, str], Texts] = field(default_factory=dict)
    #: pipelines that were silent last time; they are asked after the others
    silent: set[str] = field(default_factory=set)

    def program(self, pipeline: Pipeline) -> Program | None:
        edition, program = self.programs.get(pipeline.name, (None, None))
        return program if edition == pipeline.edition else None

    def keep_texts(self, pipeline: str, endpoints: set[str]) -> None:
        """Forget texts of endpoints that left their pipeline: those that came by HTTP never come again."""
        self.texts = {key: kept for key, kept in self.texts.items() if key[0] != pipeline or key[1] in endpoints}

    def keep_only(self, pipelines: set[str]) -> None:
        """Forget pipelines that are gone."""
        self.programs = {name: kept for name, kept in self.programs.items() if name in pipelines}
        self.texts = {key: kept for key, kept in self.texts.items() if key[0] in pipelines}
        self.silent &= pipelines


def counted_errors(sent: JsonObject) -> tuple[Any, ...]:
    """The error counters of an endpoint as they were sent."""
    metrics = sent.get("metrics")
    return tuple(metrics.get(key) if isinstance(metrics, dict) else None for key in _COUNTERS)


def lacks_texts(sent: JsonObject) -> bool:
    """Whether errors were counted and no list tells of them: a server that does not give them with the counters."""
    return not any(key in sent for key in LISTS) and any(isinstance(n, int) and n > 0 for n in counted_errors(sent))
