"""What the vendor's own client makes of a Feldera, as JSON on standard output: ``feldera_official.py URL API_KEY``.

A program of its own: the client replaces the interpreter's exception hook on import, and brings pandas along.
"""

import json
import sys
from typing import Any

from feldera import FelderaClient, RetryConfig
from feldera.enums import PipelineFieldSelector
from feldera.rest.errors import FelderaAPIError
from feldera.stats import InputEndpointStatus, OutputEndpointStatus, PipelineStatistics


def refusal(error: FelderaAPIError) -> dict[str, Any]:
    return {"status": error.status_code, "code": error.error_code}


def main(url: str, key: str) -> dict[str, Any]:
    said: dict[str, Any] = {}
    client = FelderaClient(url, api_key=key, timeout=10, retry_config=RetryConfig(max_retries=0))
    said["version"] = client.get_config().version
    said["pipelines"] = {p.name: p.deployment_status for p in client.pipelines()}
    said["whole"] = {p.name: sorted(p.program_info or {}) for p in client.pipelines(PipelineFieldSelector.ALL)}
    stats = PipelineStatistics.from_dict(client.get_pipeline_stats("orders"))
    said["state"] = str(stats.global_metrics.state)
    said["endpoints"] = {one.endpoint_name: vars(one.metrics) for one in (*stats.inputs, *stats.outputs)}
    said["paused"] = []
    for act in (client.pause_input_connector, client.start_input_connector):
        act("orders", "orders", "kafka_orders")
        one = InputEndpointStatus.from_dict(client.input_connector_stats("orders", "orders", "kafka_orders"))
        said["paused"].append(one.paused)
    said["errors"] = [error.message for error in one.parse_errors or []]
    out = OutputEndpointStatus.from_dict(client.output_connector_stats("orders", "order_totals", "kafka_out"))
    said["sent"] = out.metrics.transmitted_records if out.metrics else None
    said["token"] = client.generate_completion_token("orders", "orders", "kafka_orders")
    said["quoted"] = client.input_connector_stats("sales", '"Sales.Items"', "csv_2024")["endpoint_name"]
    for name, ask in {
        "stopped": lambda: client.get_pipeline_stats("archive"),
        "unknown": lambda: client.input_connector_stats("orders", "orders", "nope"),
    }.items():
        try:
            ask()
        except FelderaAPIError as error:
            said[name] = refusal(error)
    try:
        FelderaClient(url, api_key=f"{key[:-2]}zz", retry_config=RetryConfig(max_retries=0))
    except FelderaAPIError as error:
        said["refused"] = refusal(error)
    return said


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:3])))  # noqa: T201
