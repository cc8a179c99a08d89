"""The error bodies of Elasticsearch, for the simulator (elastic.md §9)."""

from typing import Any

CHALLENGES = ('Basic realm="security", charset="UTF-8"', 'Bearer realm="security"', "ApiKey")
#: What a privilege that is missing would have to be (elastic.md §1).
READ = "monitor_connector,manage_connector,manage,all"
WRITE = "manage_connector,manage,all"


class Refusal(Exception):
    """An answer without success: its status, its body and its headers."""

    def __init__(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        super().__init__(status)
        self.status, self.body, self.headers = status, body, headers or {}


def refusal(status: int, kind: str, reason: str, *, caused_by: str | None = None, **more: Any) -> Refusal:
    """The usual shape: type and reason, told twice."""
    cause = {"type": kind, "reason": reason, **more}
    error: dict[str, Any] = {"root_cause": [cause], **cause}
    if caused_by is not None:
        error["caused_by"] = {"type": caused_by, "reason": reason}
    return Refusal(status, {"error": error, "status": status})


def unauthorized(reason: str, **more: str) -> Refusal:
    made = refusal(401, "security_exception", reason, **more, header={"WWW-Authenticate": list(CHALLENGES)})
    made.headers["WWW-Authenticate"] = ", ".join(CHALLENGES)
    return made


def no_credentials(path: str) -> Refusal:
    return unauthorized(f"missing authentication credentials for REST request [{path}]")


def wrong_credentials(additional: str | None = None) -> Refusal:
    reason = "unable to authenticate with provided credentials and anonymous access is not allowed for this request"
    return unauthorized(reason, **({"additional_unsuccessful_credentials": additional} if additional else {}))


def no_privilege(action: str, *, reading: bool) -> Refusal:
    granted = READ if reading else WRITE
    return refusal(
        403,
        "security_exception",
        f"action [cluster:admin/xpack/connector/{action}] is unauthorized for API key id [limited] of user [gateway], "
        f"this action is granted by the cluster privileges [{granted}]",
    )


def no_handler(path: str, method: str) -> Refusal:
    return Refusal(400, {"error": f"no handler found for uri [{path}] and method [{method}]"})


def wrong_method(path: str, method: str, allowed: list[str]) -> Refusal:
    names = ", ".join(allowed)
    message = f"Incorrect HTTP method for uri [{path}] and method [{method}], allowed: [{names}]"
    return Refusal(405, {"error": message, "status": 405}, {"Allow": names})


def wrong_content_type(content_type: str | None) -> Refusal:
    message = "Content-Type header is missing" if not content_type else f"Content-Type header [{content_type}]"
    return Refusal(406, {"error": message if not content_type else f"{message} is not supported", "status": 406})


def wrong_media_type(header: str) -> Refusal:
    return refusal(400, "media_type_header_exception", f"Invalid media-type value on headers [{header}]")


def unknown_parameters(path: str, names: list[str]) -> Refusal:
    word = "parameter" if len(names) == 1 else "parameters"
    listed = ", ".join(f"[{name}]" for name in names)
    return illegal(f"request [{path}] contains unrecognized {word}: {listed}")


def illegal(reason: str) -> Refusal:
    return refusal(400, "illegal_argument_exception", reason)


def unparsable(reason: str) -> Refusal:
    return refusal(400, "x_content_parse_exception", reason)


def invalid(*reasons: str) -> Refusal:
    numbered = "".join(f" {number}: {reason};" for number, reason in enumerate(reasons, 1))
    return refusal(400, "action_request_validation_exception", f"Validation Failed:{numbered}")


def conflicting(reason: str, *, caused_by: str | None = None) -> Refusal:
    return refusal(400, "status_exception", reason, caused_by=caused_by)


def wrong_transition(what: str, present: str, wanted: str) -> Refusal:
    """``what`` is ConnectorSyncStatus for a job and ConnectorStatus for a connector."""
    kind = "connector_sync_job" if what == "ConnectorSyncStatus" else "connector"
    return conflicting(
        f"Invalid transition attempt from [{present}] to [{wanted}]. Such a {what} transition is not supported by the "
        "Connector Protocol.",
        caused_by=f"{kind}_invalid_status_transition_exception",
    )


def missing(reason: str) -> Refusal:
    return refusal(404, "resource_not_found_exception", reason)


def beyond_window(index: str, asked: int) -> Refusal:
    cause = {
        "type": "illegal_argument_exception",
        "reason": f"Result window is too large, from + size must be less than or equal to: [10000] but was [{asked}].",
    }
    shard = {"shard": 0, "index": index, "node": "n1", "reason": cause}
    error = {
        "root_cause": [cause],
        "type": "search_phase_execution_exception",
        "reason": "all shards failed",
        "phase": "query",
        "grouped": True,
        "failed_shards": [shard],
    }
    return Refusal(400, {"error": error, "status": 400})


def rejected() -> Refusal:
    reason = "rejected execution of coordinating operation"
    return refusal(429, "es_rejected_execution_exception", reason)
