"""Facts as rows: the columns that a fact decides. Pure."""

import json
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from connectory.model import ConnectorFact, JobFact
from connectory.model.fields import CONNECTOR_FIELDS, JOB_FIELDS, StoredField
from connectory.store.rows import Row
from connectory.store.tables.identity import CONNECTOR, JOB, global_id
from sources.reading import details


def _filled_by_facts(fields: Sequence[StoredField]) -> Callable[[ConnectorFact | JobFact], Row]:
    """What makes, of a fact, the columns that hold what it says as it says it."""
    columns = {field.name: field.fact for field in fields if field.fact}
    names, values = tuple(columns), attrgetter(*columns.values())
    return lambda fact: dict(zip(names, values(fact), strict=True))


_connector_columns, _job_columns = _filled_by_facts(CONNECTOR_FIELDS), _filled_by_facts(JOB_FIELDS)


def connector_row(system_id: str, system: str, fact: ConnectorFact, *, owed: bool) -> Row:
    """The columns that a fact decides. With ``owed`` it will count as changed next time too."""
    row = _connector_columns(fact)
    row |= {
        "id": global_id(CONNECTOR, system, fact.external_id),
        "system_id": system_id,
        "name_key": fact.name.casefold(),
        "details_type": fact.details.type if fact.details else None,
        "details": fact.details.json if fact.details else None,
        "fingerprint": None if owed else fact.fingerprint,
    }
    return row


def job_row(system_id: str, system: str, fact: JobFact) -> Row:
    """The columns that a fact decides; its place among the jobs is decided once, when it is new."""
    row = _job_columns(fact)
    row |= {
        "id": global_id(JOB, system, fact.external_id),
        "system_id": system_id,
        # whether or not that connector is known: it may come, and it may be gone
        "connector_id": None if fact.connector is None else global_id(CONNECTOR, system, fact.connector),
        "stages": json.dumps([[stage.name, stage.count] for stage in fact.stages]) if fact.stages else None,
        "details_type": fact.details.type if fact.details else None,
        "details": fact.details.json if fact.details else None,
        "is_open": fact.status.open and not fact.ended,
        "vanished_at": None,
        "fingerprint": fact.fingerprint,
    }
    return row


def with_details(text: str | None, found: Mapping[str, Any]) -> str:
    """Details with these fields set; the text is as ``sources.reading.details`` writes it."""
    return details("", {**json.loads(text or "{}"), **found}).json
