"""What can be changed in the simulated Onyx: status, name, frequencies, runs, pruning, deletion (onyx.md §2)."""

from typing import Literal

from aiohttp import web
from pydantic import BaseModel

from sources.onyx.simulator.checks import body_of, hidden, pair_of, refusal, status_response, world_of

#: Seconds that a pruning takes.
PRUNING = 30
#: property → its attribute, the least value in seconds, and what is said below that
FREQUENCIES = {
    "refresh_frequency": ("refresh", 60, "refresh_freq must be greater than or equal to 1 minute."),
    "pruning_frequency": ("prune", 300, "prune_freq must be greater than or equal to 5 minutes."),
}


class _NewStatus(BaseModel):
    status: Literal["SCHEDULED", "INITIAL_INDEXING", "ACTIVE", "PAUSED", "DELETING", "INVALID"]


class _Property(BaseModel):
    name: Literal["refresh_frequency", "pruning_frequency"]
    value: str


class _RunOnce(BaseModel):
    connector_id: int
    credential_ids: list[int] | None = None
    from_beginning: bool = False


class _Deletion(BaseModel):
    connector_id: int
    credential_id: int


async def set_status(request: web.Request) -> web.Response:
    form, pair, world = await body_of(request, _NewStatus), pair_of(request), world_of(request)
    if form.status not in ("ACTIVE", "PAUSED"):
        return refusal(400, "Connector status can only be set to ACTIVE or PAUSED.", "INVALID_INPUT")
    if pair is None:
        return hidden()
    (world.pause if form.status == "PAUSED" else world.resume)(pair)
    return web.json_response({"message": "200"})


async def rename(request: web.Request) -> web.Response:
    class Query(BaseModel):
        new_name: str

    query, pair = Query.model_validate(dict(request.query)), pair_of(request)
    if pair is None:
        return hidden()
    pair.name = query.new_name
    return status_response("Name updated successfully", pair.id)


async def set_property(request: web.Request) -> web.Response:
    form, pair = await body_of(request, _Property), pair_of(request)
    if pair is None:
        return hidden()
    attribute, least, complaint = FREQUENCIES[form.name]
    if not form.value.isdecimal() or int(form.value) < least:
        return web.json_response({"message": complaint}, status=400)
    setattr(pair, attribute, int(form.value))
    return status_response(f"{form.name.replace('_', ' ').capitalize()} updated successfully", pair.id)


async def run_once(request: web.Request) -> web.Response:
    form, world = await body_of(request, _RunOnce), world_of(request)
    pairs = [pair for pair in world.visible if pair.connector_id == form.connector_id]
    if not pairs:
        return refusal(404, f"Connector by id {form.connector_id} does not exist.")
    wanted = set(form.credential_ids or (pair.credential_id for pair in pairs))  # an empty list means all (§8.10)
    if not wanted <= {pair.credential_id for pair in pairs}:
        return refusal(400, "Not all specified credentials are associated with connector")
    marked = sum(world.mark(p, from_beginning=form.from_beginning) for p in pairs if p.credential_id in wanted)
    return status_response(f"Marked {marked} index attempts with indexing triggers.", marked)


async def delete(request: web.Request) -> web.Response:
    form, world = await body_of(request, _Deletion), world_of(request)
    for pair in world.visible:
        if (pair.connector_id, pair.credential_id) == (form.connector_id, form.credential_id):
            world.delete(pair)
            return web.json_response(None)
    which = f"Connector with ID '{form.connector_id}' and credential ID '{form.credential_id}'"
    return refusal(404, f"{which} does not exist. Has it already been deleted?", "CONNECTOR_NOT_FOUND")


async def prune(request: web.Request) -> web.Response:
    pair, world = pair_of(request), world_of(request)
    if pair is None:
        return hidden()
    if pair.pruning:
        return refusal(409, "Pruning task already in progress.", "CONFLICT")
    world.prune(pair, PRUNING)
    return status_response("Successfully created the pruning task.", None)
