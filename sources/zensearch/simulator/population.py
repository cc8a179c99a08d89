"""Who lives in the simulated ZenSearch: a cast in every state with a past, or exactly what a given list says."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sources.simulation import lives
from sources.zensearch.simulator.world import FAILURES, PROFILES, Connector, Job, ZenSearchWorld


@dataclass(frozen=True, slots=True)
class Member:
    """One of the cast. ``life`` names what happens to the connector besides its syncs."""

    type: str
    name: str
    collection: str | None = "col_shared"
    profile: str = "steady"
    status: str = "active"
    life: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)


_WIKI = {"instanceUrl": "https://wiki.example.com", "spaceKeys": ["ENG", "OPS"]}
_ARCHIVE = {"bucket": "acme-archive", "region": "eu-west-1", "prefix": "/contracts/", "endpoint": None}
CAST = (
    Member("confluence", "Engineering wiki", "col_eng", "large", config=_WIKI),
    Member("s3", "Contract archive", "col_legal", config=_ARCHIVE),
    Member("github", "Mobile repositories", "col_eng", config={"repos": ["acme/mobile"], "branch": "main"}),
    Member("slack", "Support channels", "col_support", "failing", "error", config={"channels": ["support", "triage"]}),
    Member("notion", "Product roadmap", "col_product", "moody"),
    Member("google_drive", "Field marketing", "col_sales"),
    Member("salesforce", "Sales cloud", "col_sales", "steady", "paused", config={"objects": ["Account", "Case"]}),
    Member("postgresql", "Orders database", "col_ops", "database", config={"host": "db.example.com", "port": 5432}),
    Member("jira", "Operations board", "col_ops", "steady", "active", "dozes"),
    Member("web_crawler", "Former intranet", None, "steady", "inactive"),
    Member("sharepoint", "Policies", "0f4f8c5a-7f0e-4a56-9a51-6f3f2b0c1a22", "moody"),
    Member("hubspot", "Marketing contacts", "col_sales", "failing"),
    Member("azure_blob", "Scanned invoices", "col_finance", "large"),
)
#: A connector that is created, filled and deleted again, over and over.
VISITOR = Member("s3", "Trial upload", "col_trial")


def populate(world: ZenSearchWorld, size: int) -> None:
    """``size`` connectors, the cast over and over; the visitor comes on top."""
    members = [(CAST[number % len(CAST)], number // len(CAST)) for number in range(size)]
    for place, (member, round_) in enumerate(members):
        created = world.now - timedelta(days=200 - place % 190, hours=3)
        connector = _settle(world, member, created, f" {round_ + 1}" if round_ else "")
        _live_through(world, connector, member)
    world.after(20, lambda: _visit(world))


def _settle(world: ZenSearchWorld, member: Member, created: datetime, suffix: str = "") -> Connector:
    connector = Connector(
        id=world.next_id("conn"),
        name=member.name + suffix,
        type=member.type,
        collection=member.collection,
        created=created,
        status=member.status,
        config=dict(member.config),
        profile=PROFILES[member.profile],
    )
    return world.add_connector(connector)


def _live_through(world: ZenSearchWorld, connector: Connector, member: Member) -> None:
    """A past, what is under way at the world's start, and what will happen by itself."""
    if member.profile == "database":
        return
    idle = member.status in ("paused", "inactive")
    last = world.now - (timedelta(days=9) if idle else timedelta(seconds=world.random.uniform(20, 60)))
    for number in range(world.random.randint(6, 20), 0, -1):
        _write(world, connector, last - timedelta(minutes=number), first=not connector.jobs)
    if not idle and world.random.random() < 0.7:
        job = world.start(connector)
        job.requested = world.now - timedelta(seconds=world.random.uniform(5, 15))
        job.status, job.collected = "running", round(job.documents * world.random.uniform(0, 1))
        job.parsed = job.indexed = job.fresh * job.collected // job.documents
        world.step_later(connector, job)
    if member.life == "dozes":
        world.after(world.random.uniform(15, 60), lambda: _doze(world, connector))


def _write(world: ZenSearchWorld, connector: Connector, requested: datetime, *, first: bool) -> None:
    """A sync that ended as its connector's profile has it; the first one succeeds."""
    profile = connector.profile
    documents = world.random.randint(*profile.documents)
    outcome = profile.end(world.random)
    fresh = documents if first else round(documents * profile.changed)
    job = Job(world.next_id("job"), connector.id, requested, "completed" if first else outcome)
    job.completed = requested + timedelta(seconds=world.random.uniform(5, 40))
    job.collected, job.parsed, job.indexed = documents, fresh, fresh
    if job.status == "completed":
        connector.last_sync = job.completed
    elif job.status == "failed":
        job.error = world.random.choice(FAILURES)
    connector.jobs.append(job)


def _doze(world: ZenSearchWorld, connector: Connector) -> None:
    lives.by_turns(
        world,
        (30, 90),
        lambda: connector.status == "paused",
        pause=lambda: world.pause(connector),
        resume=lambda: world.resume(connector),
    )


def _visit(world: ZenSearchWorld) -> None:
    lives.visits(world, lambda: _settle(world, VISITOR, world.now), world.delete, stay=(60, 120), every=180)


def load(world: ZenSearchWorld, entries: Iterable[dict[str, Any]]) -> None:
    """Fill the world with connectors that the list shows exactly as ``entries`` say; no schedule moves them."""
    for entry in entries:
        last = entry["lastSync"]
        world.add_connector(
            Connector(
                id=entry["id"],
                name=entry["name"],
                type=entry["type"],
                status=entry["status"],
                collection=entry["collection"],
                created=datetime.fromisoformat(entry["createdAt"]),
                config=dict(entry.get("config", {})),
                last_sync=datetime.fromisoformat(last) if last else None,
                profile=PROFILES["database"],
            )
        )
