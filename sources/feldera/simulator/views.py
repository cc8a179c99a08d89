"""How the simulated Feldera shows its pipelines and itself: keys and their order as in feldera.md §7."""

from datetime import datetime
from typing import Any

from sources.feldera.simulator.deployment import SERVING, Pipeline
from sources.feldera.simulator.endpoints import Endpoint
from sources.feldera.simulator.world import VERSION, FelderaWorld

SELECTORS = ("all", "status", "status_with_connectors")
#: Until its SQL is compiled a program has no configured connectors.
_UNCOMPILED = frozenset({"Pending", "CompilingSql", "SqlError"})


def zulu(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z") if moment else None


def pipeline(of: Pipeline, selector: str) -> dict[str, Any]:
    """PipelineSelectedInfo. The program is shown with ``all`` only."""
    with_program = selector == "all"
    shown = {
        "id": str(of.id),
        "name": of.name,
        "description": of.description,
        "tags": list(of.tags),
        "created_at": zulu(of.created),
        "version": of.version,
        "platform_version": VERSION,
        **(_program_text(of) if with_program else {}),
        "program_version": of.program_version,
        "program_status": of.program_status,
        "program_status_since": zulu(of.program_since),
        **(_program_outcome(of) if with_program else {}),
        "deployment_error": of.error,
        "refresh_version": of.refresh_version,
        "storage_status": of.storage,
        "storage_status_details": None,
        **_deployment(of),
    }
    if selector == "status_with_connectors" and (errors := _error_count(of)) is not None:
        shown["connectors"] = errors
    return shown


def _deployment(of: Pipeline) -> dict[str, Any]:
    provisioned = of.resources == "Provisioned"
    details = {"reason": of.reason, "connector_stats": _error_count(of), "approval_diff": _approval(of)}
    return {
        "deployment_id": str(of.deployment) if of.deployment else None,
        "deployment_initial": of.initial if of.deployment else None,
        "deployment_status": of.status,
        "deployment_status_since": zulu(of.since["status"]),
        "deployment_desired_status": of.desired,
        "deployment_desired_status_since": zulu(of.since["desired"]),
        "deployment_resources_status": of.resources,
        "deployment_resources_status_details": None,
        "deployment_resources_status_since": zulu(of.since["resources"]),
        "deployment_resources_desired_status": of.resources_desired,
        "deployment_resources_desired_status_since": zulu(of.since["resources_desired"]),
        "deployment_runtime_status": of.runtime if provisioned else None,
        "deployment_runtime_status_details": details if provisioned else None,
        "deployment_runtime_status_since": zulu(of.since.get("runtime")) if provisioned else None,
        "deployment_runtime_desired_status": of.runtime_desired if provisioned else None,
        "deployment_runtime_desired_status_since": zulu(of.since.get("runtime_desired")) if provisioned else None,
    }


def _error_count(of: Pipeline) -> dict[str, int] | None:
    return {"num_errors": sum(endpoint.errors for endpoint in of.endpoints)} if of.runtime in SERVING else None


def _approval(of: Pipeline) -> dict[str, list[str]] | None:
    return {"added": ["v2"], "removed": []} if of.runtime == "AwaitingApproval" else None


def _program_text(of: Pipeline) -> dict[str, Any]:
    storage = {
        "backend": {"name": "default"},
        "min_storage_bytes": None,
        "min_step_storage_bytes": None,
        "compression": "default",
        "cache_mib": None,
    }
    return {
        "runtime_config": {
            "workers": 8,
            "storage": storage if of.has_storage else None,
            "fault_tolerance": {"model": "none", "checkpoint_interval_secs": 60},
        },
        "program_code": f"-- {of.name}\nCREATE TABLE t (id BIGINT) WITH ('connectors' = '[...]');",
        "udf_rust": "",
        "udf_toml": "",
        "program_config": {
            "profile": "optimized",
            "cache": True,
            "runtime_version": None,
            "use_platform_compiler": False,
        },
    }


def _program_outcome(of: Pipeline) -> dict[str, Any]:
    info: dict[str, Any] = {
        "schema": {"inputs": [], "outputs": []},
        "udf_stubs": "",
        "input_connectors": {e.name: _configured(e) for e in of.inputs if not e.ad_hoc},
        "output_connectors": {e.name: _configured(e) for e in of.outputs if not e.ad_hoc},
    }
    return {
        "program_error": {"sql_compilation": None, "rust_compilation": None, "system_error": None},
        "program_info": None if of.program_status in _UNCOMPILED else info,
    }


def _configured(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "stream": endpoint.relation,
        "transport": {"name": endpoint.transport, "config": dict(endpoint.options)},
        "format": {"name": endpoint.profile.tag if endpoint.profile.tag == "csv" else "json", "config": {}},
        "paused": endpoint.starts_paused,
        "labels": [],
        "start_after": None,
        "max_batch_size": None,
        "max_queued_records": 1_000_000,
    }


def configuration(world: FelderaWorld) -> dict[str, Any]:
    """GET /v0/config."""
    build = ("timestamp", "cpu", "os")
    cargo = ("dependencies", "features", "debug", "opt_level", "target_triple")
    return {
        "posthog": "",
        "conceptualhq": "",
        "product_fruits": "",
        "edition": world.edition,
        "version": VERSION,
        "revision": "simulated",
        "runtime_revision": "simulated",
        "changelog_url": "https://docs.feldera.com/changelog",
        "license_validity": None,
        "update_info": None,
        "build_info": {
            **{f"build_{key}": "simulated" for key in build},
            **{f"cargo_{key}": "simulated" for key in cargo},
            "rustc_version": "simulated",
        },
        "build_source": "simulated",
    }


def health(world: FelderaWorld) -> dict[str, Any]:
    """GET /v0/cluster_healthz."""

    def service(trouble: str | None) -> dict[str, Any]:
        message = trouble or "OK"
        checked = zulu(world.now)
        return {"healthy": trouble is None, "message": message, "unchanged_since": checked, "checked_at": checked}

    return {
        "all_healthy": world.compiler_trouble is None,
        "api": service(None),
        "compiler": service(world.compiler_trouble),
        "runner": service(None),
    }
