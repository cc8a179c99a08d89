"""What each kind of system tells of a connector beyond the common fields.

The records give None for whatever the upstream left out. 'extra' holds the keys that an upstream sent and this program
does not know, secrets taken out.
"""

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry.scalars import JSON

from resolvers.vocabulary import EndpointDirection
from schema import enums as enums
from schema.scalars import Long

EXTRA = "Keys that the upstream sent and this program does not know, secrets taken out; null when there are none."


@strawberry.type(description="What Onyx tells of a cc-pair: a connector joined with a credential.")
class OnyxConnectorDetails:
    cc_pair_id: Long = strawberry.field(description="The cc-pair's number in Onyx.")
    cc_pair_status: str = strawberry.field(
        description="Onyx's word: SCHEDULED, INITIAL_INDEXING, ACTIVE, PAUSED, INVALID or DELETING."
    )
    last_status: str | None = strawberry.field(
        description="Onyx's word for its latest index attempt, running ones included; null when there was none."
    )
    last_finished_status: str | None = strawberry.field(
        description="Onyx's word for its latest index attempt that has ended; null when there was none."
    )
    latest_index_attempt_docs_indexed: Long | None = strawberry.field(
        description="Documents processed in the latest attempt, repeated ones included; null when there was none."
    )
    permissions: JSON | None = strawberry.field(
        description="What our credentials may do with it: {edit, delete, publish} of booleans; null before Onyx 4.7."
    )
    extra: JSON | None = strawberry.field(description=EXTRA)


@strawberry.type(description="What Onyx tells of a federated connector: one that is queried live and never indexed.")
class OnyxFederatedDetails:
    federated_id: Long = strawberry.field(
        description="The connector's number in Onyx; numbers of federated connectors and of cc-pairs overlap."
    )
    federated_source: str = strawberry.field(description="Onyx's word for what it queries, such as federated_slack.")
    extra: JSON | None = strawberry.field(description=EXTRA)


@strawberry.type(description="What Elasticsearch tells of a connector.")
class ElasticConnectorDetails:
    description: str | None = strawberry.field(description="The free text that somebody gave it.")
    index_name: str | None = strawberry.field(
        description="The index that it writes to; null when none is attached yet, and then it cannot sync."
    )
    service_type: str | None = strawberry.field(
        description="Elastic's word for what it reads, such as mysql or github."
    )
    language: str | None = strawberry.field(description="The language analyser of its content.")
    is_native: bool = strawberry.field(description="Whether Elastic manages it, rather than a worker of one's own.")
    deleted: bool | None = strawberry.field(
        description="Whether it is marked as deleted upstream; null before Elasticsearch 9.0."
    )
    last_seen: datetime | None = strawberry.field(
        description="When its worker last showed a sign of life, about every five minutes; null when none ever did."
    )
    last_synced: datetime | None = strawberry.field(
        description="When its last content sync ended, whatever the outcome; null before the first."
    )
    last_sync_status: str | None = strawberry.field(description="Elastic's word for its last content sync.")
    last_sync_error: str | None = strawberry.field(
        description="Error text of its last content sync; null after a good one."
    )
    last_sync_scheduled_at: datetime | None = strawberry.field(
        description="When a full sync was last queued by its schedule."
    )
    last_incremental_sync_scheduled_at: datetime | None = strawberry.field(
        description="When an incremental sync was last queued by its schedule."
    )
    last_access_control_sync_status: str | None = strawberry.field(
        description="Elastic's word for its last access-control sync."
    )
    last_access_control_sync_error: str | None = strawberry.field(
        description="Error text of its last access-control sync; null after a good one."
    )
    last_access_control_sync_scheduled_at: datetime | None = strawberry.field(
        description="When an access-control sync was last queued by its schedule."
    )
    last_indexed_document_count: Long | None = strawberry.field(description="Documents that its last sync indexed.")
    last_deleted_document_count: Long | None = strawberry.field(description="Documents that its last sync deleted.")
    sync_now: bool | None = strawberry.field(
        description="Elastic's old flag that asks for a sync at the next occasion."
    )
    api_key_id: str | None = strawberry.field(
        description="Identifier of the API key its worker uses; not the key itself."
    )
    pipeline: JSON | None = strawberry.field(description="Settings of the ingest pipeline.")
    scheduling: JSON | None = strawberry.field(
        description=(
            "Schedules under the keys full, incremental and access_control, each {enabled, interval}; the interval is "
            "a Quartz cron expression in UTC that begins with seconds."
        )
    )
    custom_scheduling: JSON | None = strawberry.field(
        description="Further named schedules, left over from the crawler."
    )
    filtering: JSON | None = strawberry.field(description="Sync rules: a list of {active, draft, domain}.")
    features: JSON | None = strawberry.field(description="Features that are switched on or off, each {enabled}.")
    configuration: JSON | None = strawberry.field(
        description="Its configuration properties by name, without values of sensitive properties."
    )
    sync_cursor: JSON | None = strawberry.field(description="Where its worker will take up again; its own format.")
    extra: JSON | None = strawberry.field(description=EXTRA)


@strawberry.type(description="What Lucidworks tells of a data source.")
class LucidworksDataSourceDetails:
    collection: str | None = strawberry.field(description="The collection that it fills.")
    collection_extra: JSON | None = strawberry.field(
        description=(
            "What else the list of collections tells of it, such as its instance_dir; null when nothing, or when the "
            "collections stand in the configuration."
        )
    )
    data_source_id: str = strawberry.field(description="Its id in Lucidworks, unique within the deployment.")
    batch_job: bool | None = strawberry.field(
        description="The upstream's flag 'batch_job', untouched: its documentation contradicts itself on the meaning."
    )
    crawl_state: str | None = strawberry.field(
        description="Lucidworks' word for its latest crawl, such as RUNNING or FINISHED; null when it never ran."
    )
    job_id: str | None = strawberry.field(
        description="The upstream's 'job_id': it equals the data source's id and names no single run."
    )
    extra: JSON | None = strawberry.field(description=EXTRA)


@strawberry.type(description="One error that a Feldera endpoint reported.")
class FelderaConnectorError:
    index: Long | None = strawberry.field(description="Its running number; a gap means that errors were dropped.")
    tag: str | None = strawberry.field(description="Feldera's label for the kind of error.")
    message: str = strawberry.field(description="The error text, shortened in the middle when very long.")
    at: datetime | None = strawberry.field(description="When it happened.")


@strawberry.type(description="What Feldera tells of an endpoint: an input or output connector of a pipeline.")
class FelderaEndpointDetails:
    pipeline_name: str = strawberry.field(description="The pipeline that it belongs to.")
    endpoint_name: str = strawberry.field(description="Its full name, '<table or view>.<connector>' as a rule.")
    connector_name: str | None = strawberry.field(description="The connector's part of the name; null when unknown.")
    relation: str | None = strawberry.field(description="The table it fills or the view it sends; null when unknown.")
    stream: str | None = strawberry.field(description="The stream named in its configuration, the relation as a rule.")
    direction: EndpointDirection = strawberry.field(description="Which way records move.")
    pipeline_status: str | None = strawberry.field(
        description="The pipeline's combined deployment status, the upstream's word."
    )
    deployment_error: JSON | None = strawberry.field(
        description="Why the pipeline's deployment failed: {message, error_code, details}; null when it did not."
    )
    paused: bool | None = strawberry.field(
        description="Whether this endpoint is held back by itself, apart from its pipeline; null for outputs."
    )
    barrier: bool | None = strawberry.field(
        description="Whether it keeps its pipeline from a checkpoint right now; null for outputs."
    )
    fatal_error: str | None = strawberry.field(description="The error that ended it; null when there is none.")
    health: JSON | None = strawberry.field(
        description="The transport's own verdict, {status, description}; null when unknown, as for most transports."
    )
    completed_frontier: JSON | None = strawberry.field(
        description=(
            "The newest input that is fully processed: {metadata, ingested_at, processed_at, completed_at}; "
            "null when unknown."
        )
    )
    metrics: JSON | None = strawberry.field(
        description="Null while the pipeline is not deployed; else its live counters."
    )
    config: JSON | None = strawberry.field(description="Its configuration, secrets taken out.")
    parse_errors: list[FelderaConnectorError] | None = strawberry.field(
        description=(
            "The most recent error texts; null while they are not known, [] only when there are none. "
            "Encoding errors of outputs stand here too."
        )
    )
    transport_errors: list[FelderaConnectorError] | None = strawberry.field(
        description="The most recent transport errors; null while they are not known, [] only when there are none."
    )
    pipeline: JSON | None = strawberry.field(
        description="The pipeline's entry in the list, with its program_config and runtime_config; secrets taken out."
    )
    extra: JSON | None = strawberry.field(description=EXTRA)


@strawberry.type(description="What ZenSearch tells of a connector.")
class ZenSearchConnectorDetails:
    collection: str | None = strawberry.field(description="Id of the collection that it fills.")
    type: str = strawberry.field(description="ZenSearch's word for what it reads, such as s3 or confluence.")
    config: JSON | None = strawberry.field(
        description="Its configuration, secrets taken out; null where the answer does not show it."
    )
    extra: JSON | None = strawberry.field(description=EXTRA)


@strawberry.type(description="What a plugged-in source tells beyond the common fields.")
class OtherConnectorDetails:
    data: JSON = strawberry.field(description="Whatever the source chose to tell.")


#: Parts of details: they arrive as the JSON objects that the store holds, with the Python names of the fields as keys.
JSON_OBJECTS = frozenset({"FelderaConnectorError"})

ConnectorDetails = Annotated[
    OnyxConnectorDetails
    | OnyxFederatedDetails
    | ElasticConnectorDetails
    | LucidworksDataSourceDetails
    | FelderaEndpointDetails
    | ZenSearchConnectorDetails
    | OtherConnectorDetails,
    strawberry.union(
        "ConnectorDetails",
        description="Everything an upstream said of a connector that the common fields do not hold, typed per system.",
    ),
]
