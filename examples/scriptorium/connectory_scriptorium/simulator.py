"""A simulated Scriptorium: the paths of README.md over desks that scan by themselves."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from aiohttp import web

from sources.simulation import Clock, World, simulator_app

TOKEN = "card-1455-42"
PAGE = 20  # batches
DESKS = (
    {"id": "atlas", "name": "Map table", "material": "maps", "room": "Cartography", "state": "ready"},
    {"id": "cradle", "name": "Book cradle", "material": "early prints", "room": "Strongroom", "state": "ready"},
    {"id": "gazette", "name": "Sheet feeder", "material": "newspapers", "room": "Basement", "state": "ready"},
    {"id": "lantern", "name": "Slide scanner", "material": "glass plates", "room": "Attic", "state": "closed"},
)
TITLES = ("Songs for the lute", "Ship's log", "A herbal in colours", "Parish register", "Letters home", "Night sky")


class ScriptoriumWorld(World):
    """Desks and batches as the API shows them, by their keys. Their past is simulated like the rest."""

    def __init__(self, *, seed: int, start: datetime) -> None:
        super().__init__(seed=seed, start=start - timedelta(hours=6))
        self.desks = [{**desk, "pages_archived": self.random.randrange(90_000), "note": None} for desk in DESKS]
        self.batches: dict[int, dict[str, Any]] = {}
        for desk in self.desks:
            if desk["state"] == "ready":
                self._go_on(self._work(desk))
        self.advance(start)

    def _go_on(self, work: Iterator[float]) -> None:
        """Up to the next pause, whose length the work gives in seconds."""
        self.after(next(work), partial(self._go_on, work))

    def _work(self, desk: dict[str, Any]) -> Iterator[float]:
        """One batch after the other. How many pages it has is not known before somebody has counted them."""
        while True:
            yield self.random.uniform(60, 240)
            desk.update(state="ready", note=None)
            batch = {"number": len(self.batches) + 1, "desk": desk["id"], "title": self.random.choice(TITLES)}
            batch |= {"state": "queued", "created": self.now.isoformat(), "pages_scanned": 0, "pages_blurred": 0}
            self.batches[batch["number"]] = batch
            yield self.random.uniform(20, 120)
            batch |= {"state": "scanning", "started": self.now.isoformat(), "pages_total": self.random.randint(90, 480)}
            while batch["state"] == "scanning":
                yield 8
                batch["pages_scanned"] = min(batch["pages_total"], batch["pages_scanned"] + self.random.randint(2, 8))
                batch["pages_blurred"] += self.random.random() < 0.01
                if batch["pages_scanned"] == batch["pages_total"]:
                    batch["state"] = "archived"
                    desk["pages_archived"] += batch["pages_total"]
                elif self.random.random() < 0.003:
                    batch.update(state="jammed", note=f"Page {batch['pages_scanned']} is caught in the feed.")
                    desk.update(state="jammed", note="Somebody with tweezers is on the way.")
            batch["ended"] = self.now.isoformat()


def simulator(*, seed: int = 0, clock: Clock) -> web.Application:
    world = ScriptoriumWorld(seed=seed, start=clock.start)

    async def desks(request: web.Request) -> web.Response:
        return web.json_response({"desks": world.desks})

    async def batches(request: web.Request) -> web.Response:
        desk, newest = request.query.get("desk"), int(request.query.get("cursor") or len(world.batches))
        numbers = [n for n in range(newest, 0, -1) if desk in (None, world.batches[n]["desk"])]
        cursor = str(numbers[PAGE]) if len(numbers) > PAGE else None
        return web.json_response({"batches": [world.batches[n] for n in numbers[:PAGE]], "next": cursor})

    async def batch(request: web.Request) -> web.Response:
        found = world.batches.get(int(request.match_info["number"]))
        return web.json_response(found) if found else web.json_response("There is no such batch.", status=404)

    def refuse(request: web.Request) -> web.Response:
        return web.json_response("Please show your reader's card.", status=401)

    @web.middleware
    async def check(request: web.Request, handler: Any) -> web.StreamResponse:
        is_open = request.path.startswith("/_simulator/") or request.headers.get("Authorization") == f"Bearer {TOKEN}"
        return await handler(request) if is_open else refuse(request)

    app = simulator_app(world, clock, rejection=refuse, limited=partial(web.json_response, "Quiet please.", status=429))
    app.middlewares.append(check)
    app.add_routes([web.get("/desks", desks), web.get("/batches", batches), web.get(r"/batches/{number:\d+}", batch)])
    return app
