"""Enums that exist for the asking only: no upstream says them and no table holds them."""

from connectory.model import DescribedEnum


class SortDirection(DescribedEnum):
    """Which end comes first. Values that are null come last in both directions."""

    ASC = "Smallest, earliest or alphabetically first first."
    DESC = "Largest, latest or alphabetically last first."


class ConnectorOrderField(DescribedEnum):
    """What connectors are sorted by. Ties are broken by id."""

    NAME = "The connector's name, ignoring case."
    SOURCE = "The slug of the source that it reads."
    STATUS = "The connector's status, in the order in which ConnectorStatus lists its values."
    DOCS_INDEXED = "The number of documents it has in its index."
    LAST_SUCCESS_AT = "When it last succeeded."
    HEALTH = "The connector's health, in the order in which ConnectorHealth lists its values."


class JobOrderField(DescribedEnum):
    """What jobs are sorted by. Ties are broken by id."""

    CREATED_AT = "When the job was created, or the upstream's own order of jobs where it tells no such time."
    STARTED_AT = "When the job began to work."
    COMPLETED_AT = "When the job ended."
    STATUS = "The job's status, in the order in which JobStatus lists its values."
    INDEXED = "The number of documents that the job indexed."


class ConnectorFacet(DescribedEnum):
    """What connectors are counted by."""

    SYSTEM = "The name of the system."
    KIND = "The kind of the system: onyx, elastic and so on."
    SOURCE = "The slug of the source that is read."
    MODE = "How content is moved: a value of ConnectorMode."
    STATUS = "The status: a value of ConnectorStatus."
    HEALTH = "The health: a value of ConnectorHealth."
    ACCESS_TYPE = "Who may find the content: a value of AccessType, or null where the upstream does not tell."
    LAST_JOB_STATUS = "The status of the newest job: a value of JobStatus, or null where none is known."


class JobFacet(DescribedEnum):
    """What jobs are counted by."""

    SYSTEM = "The name of the system."
    SOURCE = "The slug of the source that is read; null where it is not known."
    STATUS = "The status: a value of JobStatus."
    TYPE = "What the job sets out to do: a value of JobType."
    TRIGGER = "What started the job: a value of JobTrigger."


class HistoryBucketSize(DescribedEnum):
    """How long a bucket of a history is."""

    MINUTE = "A minute."
    HOUR = "An hour."
    DAY = "24 hours, from whatever time of the day the first one begins."
    WEEK = "Seven days."


class EndpointDirection(DescribedEnum):
    """Which way records move through a Feldera endpoint. Details carry it by name, as JSON has no enums."""

    INPUT = "Into the pipeline."
    OUTPUT = "Out of the pipeline."
