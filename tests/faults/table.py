"""The faults, the systems, and what ``System`` shows of each fault in each system."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from connectory.model import EventKind, SystemErrorCode, SystemHealth
from sources.base import SourceKind
from sources.elastic import SOURCE as ELASTIC
from sources.feldera import SOURCE as FELDERA
from sources.lucidworks import SOURCE as LUCIDWORKS
from sources.onyx import SOURCE as ONYX
from sources.zensearch import SOURCE as ZENSEARCH

Health, Code = SystemHealth, SystemErrorCode
_Edit = Mapping[str, Any]

#: Seconds of a Retry-After, of a wrong clock, and of a request that nobody answers.
ASKED_WAIT, HOUR, PATIENCE = 1.0, 3600.0, 1.0
#: Bytes of a huge answer.
HUGE = 50_000_000


@dataclass(frozen=True)
class Shape:
    """What a fault has to know of a kind's answers, as edits and query parameters of ``sources.simulation.faults``."""

    kind: SourceKind
    #: one entry of many has a value of the wrong type
    wrong_value: _Edit
    #: the part of the message that names this entry
    names_it: str
    #: one entry of many is no object at all
    no_entry: _Edit
    #: every list is told twice over
    twice: tuple[_Edit, ...]
    empty: tuple[_Edit, ...]
    #: something huge that nobody asked for, and entries without end; the fault says how much
    padded: _Edit
    swollen: _Edit
    #: every page is the first one, and says that there are more; none where one answer holds all
    same_page: Mapping[str, Any] | None = None


def _edit(path: str, at: list[str | int], do: str, value: Any = None) -> _Edit:
    return {"path": path, "at": at, "do": do, "value": value}


_LIST, _ATTEMPTS = "/connector/indexing-status", "/index-attempts"
_SYNC_JOBS = "/_sync_job"
_SOURCES = "/collection1/datasources"

SHAPES: Mapping[str, Shape] = {
    shape.kind.name: shape
    for shape in (
        Shape(
            ONYX,
            wrong_value=_edit(_LIST, [0, "indexing_statuses", 0, "docs_indexed"], "put", "many"),
            names_it="cc-pair 2 ",
            no_entry=_edit(_LIST, [0, "indexing_statuses", 0], "put", "cc-pair"),
            twice=(_edit(_LIST, [0, "indexing_statuses"], "repeat", 2), _edit(_ATTEMPTS, ["items"], "repeat", 2)),
            empty=(_edit(_LIST, [], "put", []),),
            padded=_edit(_LIST, [0, "padding"], "fill"),
            swollen=_edit(_LIST, [0, "indexing_statuses"], "swell"),
            same_page={
                "deaf_to": ["page_num"],
                "edits": [_edit(_ATTEMPTS, ["total_items"], "put", 9999), _edit(_ATTEMPTS, ["items"], "swell", 60_000)],
            },
        ),
        Shape(
            ELASTIC,
            wrong_value=_edit("/_connector", ["results", 0, "name"], "put", 7),
            names_it="connector GBjoiSkQK9IxCCQSiy8z: name",
            no_entry=_edit("/_connector", ["results", 0], "put", None),
            twice=tuple(_edit(path, ["results"], "repeat", 2) for path in ("/_connector", _SYNC_JOBS)),
            empty=(_edit("/_connector", ["results"], "put", []), _edit("/_connector", ["count"], "put", 0)),
            padded=_edit("/_connector", ["padding"], "fill"),
            swollen=_edit("/_connector", ["results"], "swell"),
            same_page={
                "deaf_to": ["from"],
                "edits": [
                    *(_edit(path, ["results"], "keep", 10) for path in ("/_connector", _SYNC_JOBS)),
                    *(_edit(path, ["count"], "put", 300) for path in ("/_connector", _SYNC_JOBS)),
                ],
            },
        ),
        Shape(
            ZENSEARCH,
            wrong_value=_edit("/connectors", ["data", 0, "lastSync"], "put", {"at": "noon"}),
            names_it="connector conn_52e6b4: lastSync",
            no_entry=_edit("/connectors", ["data", 0], "put", 7),
            twice=(_edit("/connectors", ["data"], "repeat", 2),),
            empty=(_edit("/connectors", ["data"], "put", []),),
            padded=_edit("/connectors", ["padding"], "fill"),
            swollen=_edit("/connectors", ["data"], "swell"),
        ),
        Shape(
            FELDERA,
            wrong_value=_edit("/orders/stats", ["inputs", 0, "metrics", "total_records"], "put", "many"),
            names_it="orders",
            no_entry=_edit("/orders/stats", ["inputs", 0], "put", []),
            twice=(_edit("/pipelines", [], "repeat", 2), _edit("/stats", ["inputs"], "repeat", 2)),
            empty=(_edit("/pipelines", [], "put", []),),
            padded=_edit("/pipelines", [0, "program_code"], "fill"),
            swollen=_edit("/pipelines", [], "swell"),
        ),
        Shape(
            LUCIDWORKS,
            wrong_value=_edit(_SOURCES, [0, "name"], "put", {"en": "web site"}),
            names_it="collection1/6: name",
            no_entry=_edit(_SOURCES, [0], "put", True),
            twice=(
                _edit("/collections", [], "repeat", 2),
                _edit("/datasources", [], "repeat", 2),
                _edit("/status", [], "repeat", 2),
            ),
            empty=(_edit("/collections", [], "put", []),),
            padded=_edit("/collections", [0, "padding"], "fill"),
            swollen=_edit(_SOURCES, [], "swell"),
        ),
    )
}

#: What the network does; everything else is a switch of the simulator.
Network = Literal["refuses", "unknown name", "another certificate"]


@dataclass(frozen=True)
class Expected:
    """What ``System`` shows while the fault lasts."""

    health: SystemHealth
    code: SystemErrorCode | None = None
    #: what ``lastError.message`` says, as a pattern
    says: str = ""


#: What is wrong with the system.
Group = Literal["connection", "refusal", "answer", "clock", "size"]


@dataclass(frozen=True)
class Site:
    """What a system must be from the start for a fault to befall it. Faults with equal ones can share a ground."""

    name: str = "plain"
    #: seconds for one request
    timeout: float = 5.0
    #: known by a name, not by its address
    named: bool = False
    #: served by https
    encrypted: bool = False


PLAIN = Site()
NAMED = Site("named", named=True)
ENCRYPTED = Site("encrypted", encrypted=True)
IMPATIENT = Site("impatient", timeout=PATIENCE)
PATIENT = Site("patient", timeout=30.0)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One line of the table."""

    group: Group
    name: str
    shows: Expected
    #: what becomes of the rest, for people
    then: str
    network: Network | None = None
    #: switches of the simulator
    switches: Mapping[str, Any] = field(default_factory=dict)
    #: the attribute of ``Shape`` whose edits are made
    edits: str | None = None
    #: kinds that show something else
    but: Mapping[str, Expected] = field(default_factory=dict)
    site: Site = PLAIN
    #: bytes of what its edits make large
    size: int = 0
    #: it is there before the first poll
    from_the_start: bool = False

    @property
    def backs_off(self) -> bool:
        return self.then is _BACKS_OFF

    def applies_to(self, kind: str) -> bool:
        return self.edits is None or getattr(SHAPES[kind], self.edits) is not None

    def shown_by(self, kind: str) -> Expected:
        return self.but.get(kind, self.shows)

    def switches_of(self, kind: str) -> dict[str, Any]:
        """What is switched on in the simulator of this kind."""
        if self.edits is None:
            return dict(self.switches)
        told = getattr(SHAPES[kind], self.edits)
        if "do" not in told and isinstance(told, Mapping):
            return {**self.switches, **told}
        if self.size:
            told = {**told, "value": self.size}
        return {**self.switches, "edits": [told] if isinstance(told, Mapping) else list(told)}


_BACKS_OFF = "Polls go on, further and further apart, up to `max_backoff`."
_ASKS_RARELY = "It is asked again every `auth_probe_interval` only."
_KEPT = "The entry keeps its stored values where it could not be read; all others are up to date."
_NOTICED = "Nothing: the poll is complete."
_SILENT = Expected(Health.DOWN, Code.TIMEOUT, rf"no complete answer within {re.escape(f'{PATIENCE:g}')} s")
_LIMITED = Expected(Health.DEGRADED, Code.RATE_LIMITED, r"429")
_FINE = Expected(Health.UP)


def _refused(status: int) -> Expected:
    return Expected(Health.AUTH_FAILED, Code.AUTH_FAILED, rf": {status}\b")


FAULTS = (
    Fault(
        group="connection",
        name="connection refused",
        network="refuses",
        shows=Expected(Health.DOWN, Code.UNREACHABLE, r"cannot connect to 127\.0\.0\.1:\d+: "),
        then=_BACKS_OFF,
    ),
    Fault(
        group="connection",
        name="the name does not resolve",
        network="unknown name",
        site=NAMED,
        from_the_start=True,
        shows=Expected(Health.DOWN, Code.UNREACHABLE, r"the name nothing\.invalid does not resolve"),
        then=_BACKS_OFF,
    ),
    Fault(
        group="connection",
        name="certificate not trusted",
        network="another certificate",
        site=ENCRYPTED,
        shows=Expected(Health.DOWN, Code.TLS, r"TLS refused: .*certificate"),
        then=_BACKS_OFF,
    ),
    Fault(
        group="connection", name="no answer", switches={"hang": True}, site=IMPATIENT, shows=_SILENT, then=_BACKS_OFF
    ),
    Fault(
        group="connection",
        name="an answer byte by byte",
        switches={"drip": 0.1},
        site=IMPATIENT,
        shows=_SILENT,
        then=_BACKS_OFF,
    ),
    Fault(
        group="connection",
        name="connection cut within the answer",
        switches={"disconnect": True},
        shows=Expected(Health.DOWN, Code.UNREACHABLE, r"(POST|GET) \S+: \w"),
        then=_BACKS_OFF,
    ),
    Fault(
        group="refusal",
        name="credentials refused, in the system's own words",
        switches={"reject_credentials": True},
        shows=_refused(401),
        but={"onyx": _refused(403)},
        then=_ASKS_RARELY,
    ),
    Fault(
        group="refusal", name="401 of a proxy", switches={"html_status": 401}, shows=_refused(401), then=_ASKS_RARELY
    ),
    Fault(
        group="refusal", name="403 of a proxy", switches={"html_status": 403}, shows=_refused(403), then=_ASKS_RARELY
    ),
    Fault(
        group="refusal",
        name="429 with Retry-After",
        switches={"rate_limited": True, "retry_after": ASKED_WAIT},
        shows=_LIMITED,
        then="It is not asked before that time is over.",
    ),
    Fault(
        group="refusal",
        name="429 without Retry-After",
        switches={"rate_limited": True},
        shows=_LIMITED,
        then=_BACKS_OFF,
    ),
    Fault(
        group="refusal",
        name="500 with a page of HTML",
        switches={"html_status": 500},
        shows=Expected(Health.DOWN, Code.UPSTREAM_ERROR, r": 500\b"),
        then=_BACKS_OFF,
    ),
    Fault(
        group="answer",
        name="truncated JSON",
        switches={"truncate": True},
        shows=Expected(
            Health.DOWN,
            Code.MISMATCH,
            r"200 with a body that is not JSON \(application/json[^,]*, \d+ bytes\)",
        ),
        then=_BACKS_OFF,
    ),
    Fault(
        group="answer",
        name="a value of the wrong type in one entry of many",
        edits="wrong_value",
        shows=Expected(Health.DEGRADED, Code.MISMATCH, r"expected|got"),
        then=_KEPT,
    ),
    Fault(
        group="answer",
        name="an entry of many that is no object",
        edits="no_entry",
        shows=Expected(Health.DEGRADED, Code.MISMATCH, r"expected|got"),
        then=_KEPT,
    ),
    Fault(group="answer", name="entries told twice", edits="twice", shows=_FINE, then=_NOTICED),
    Fault(
        group="answer",
        name="a list that is empty once",
        edits="empty",
        switches={"edited_answers": 1},
        shows=_FINE,
        then="Nobody is removed: that takes three such answers in a row.",
    ),
    Fault(
        group="answer",
        name="a page that repeats",
        edits="same_page",
        from_the_start=True,
        shows=Expected(Health.DEGRADED, Code.MISMATCH, r"10 of 300 were served, twice; the list is not complete"),
        but={"onyx": _FINE},
        then="Reading ends with the first page that brings nothing new.",
    ),
    Fault(
        group="clock",
        name="a clock that is an hour ahead, then right again",
        switches={"skew": HOUR},
        shows=_FINE,
        then="Nothing is lost: jobs are found though they are older than the newest one known.",
    ),
    Fault(
        group="clock",
        name="a clock that is an hour behind, then right again",
        switches={"skew": -HOUR},
        shows=_FINE,
        then="Nothing is lost: jobs are found though they are older than the newest one known.",
    ),
    Fault(
        group="size",
        name="50 MB of something unknown",
        edits="padded",
        switches={"edited_answers": 1},
        site=PATIENT,
        size=HUGE,
        shows=_FINE,
        then="The poll is complete; the rest of the program goes on meanwhile.",
    ),
    Fault(
        group="size",
        name="50 MB of entries told again and again",
        edits="swollen",
        switches={"edited_answers": 1},
        site=PATIENT,
        size=HUGE,
        shows=_FINE,
        then="The poll is complete; the rest of the program goes on meanwhile.",
    ),
)


def events_of(fault: Fault, kind: str) -> list[EventKind]:
    """What the log says of the system from before the fault until after it."""
    health = fault.shown_by(kind).health
    told = [EventKind.SYSTEM_DOWN, EventKind.SYSTEM_RECOVERED]
    if health is Health.UP:
        return [EventKind.SYSTEM_CHANGED] if fault.from_the_start else []
    if health is Health.DEGRADED:
        return [EventKind.SYSTEM_CHANGED] * 2
    # the first failure after a success only degrades, unless it is about the credentials
    return told if health is Health.AUTH_FAILED or fault.from_the_start else [EventKind.SYSTEM_CHANGED, *told]


#: (fault, kind) → what is still wrong there. Such a test is expected to fail, and complains once it does not.
OPEN: Mapping[tuple[str, str], str] = {}

CASES = [(fault, kind) for fault in FAULTS for kind in SHAPES if fault.applies_to(kind)]

__all__ = ["CASES", "FAULTS", "OPEN", "SHAPES", "Expected", "Fault", "Group", "Shape", "Site", "events_of"]
