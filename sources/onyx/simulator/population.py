"""Who lives in the simulated Onyx: a cast in every state with a past, or exactly what given list entries say."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sources.onyx.simulator.pairs import OPEN, PROFILES, REJECTED, SUCCESSFUL, Attempt, Federated, Pair, judge
from sources.onyx.simulator.world import OnyxWorld
from sources.simulation import lives


@dataclass(frozen=True, slots=True)
class Member:
    """One of the cast. ``life`` names what happens to the pair besides its runs."""

    source: str
    name: str
    access_type: str = "private"
    profile: str = "steady"
    status: str = "ACTIVE"
    life: str = ""


CAST = (
    Member("confluence", "Platform handbook", "public"),
    Member("github", "payments-service", "private", "large", "INITIAL_INDEXING"),
    Member("slack", "Slack #general", "public", "moody"),
    Member("google_drive", "Field marketing Drive", "sync", "restless"),
    Member("zendesk", "Customer tickets", "private", "failing"),
    Member("web", "help.example.com", "public", "careless"),
    Member("notion", "Product roadmap", "public", "stalling"),
    Member("jira", "Operations board", "sync", "steady", "PAUSED", "dozes"),
    Member("sharepoint", "Intern onboarding site", "private", "waiting", "SCHEDULED"),
    Member("github", "retired-monolith", "public", "rejected", "INVALID"),
    Member("web", "Former careers site", "public", "steady", "DELETING", "leaves"),
    Member("s3", "Warehouse exports", "private", "failing", "PAUSED"),
    Member("file", "Policy uploads", "private", "steady", "ACTIVE", "runs once"),
    Member("salesforce", "Sales cloud", "sync", "large"),
    Member("confluence", "Contract archive", "private", "careless"),
    Member("slack", "Slack #platform", "private"),
    Member("slack", "Slack #support", "public", "careless"),
    Member("slack", "Slack #mobile", "public", "moody"),
    Member("google_drive", "Finance Drive", "private"),
    Member("gitlab", "infrastructure group", "private", "rejected", "ACTIVE"),
    Member("hubspot", "Marketing contacts", "private", "moody"),
    Member("teams", "Leadership team", "sync", "steady", "ACTIVE", "dozes"),
    Member("discord", "Community server", "public"),
    Member("gong", "Recorded calls", "private", "careless"),
)
#: What worlds larger than the cast are made of.
CROWD_SOURCES = (
    "slack",
    "confluence",
    "github",
    "google_drive",
    "jira",
    "web",
    "notion",
    "sharepoint",
    "zendesk",
    "s3",
)
CROWD_PROFILES = ("steady", "steady", "steady", "moody", "careless", "large", "restless")
ACCESS_TYPES = ("public", "private", "sync")
#: A pair that comes, runs and is deleted again, over and over.
VISITOR = Member("linear", "Trial workspace", "private", "steady", "SCHEDULED")

Past = tuple[datetime, Pair, str]


def populate(world: OnyxWorld, size: int) -> None:
    """At least ``size`` visible pairs and a federated entry; the visitor and the default pair come on top."""
    members = [*CAST, *(crowd(world, number) for number in range(len(CAST), size))][: max(size, 1)]
    world.federated.append(Federated(1))
    default = _settle(world, Member("ingestion_api", "DefaultCCPair", "public"), size)
    default.hidden = True
    pairs = [_settle(world, member, size) for member in members]
    past = [event for pair, member in zip(pairs, members, strict=True) for event in _past(world, pair, member)]
    for started, pair, status in sorted(past, key=lambda event: event[0]):
        _write(world, pair, started, status)
    for pair, member in zip(pairs, members, strict=True):
        judge(pair)
        pair.status = member.status
        _enliven(world, pair, member)
    world.after(20, lambda: _visit(world))


def crowd(world: OnyxWorld, number: int) -> Member:
    source = CROWD_SOURCES[number % len(CROWD_SOURCES)]
    profile, access = world.random.choice(CROWD_PROFILES), world.random.choice(ACCESS_TYPES)
    return Member(source, f"{source.replace('_', ' ').capitalize()} space {number}", access, profile)


def _settle(world: OnyxWorld, member: Member, size: int) -> Pair:
    number = world.next_pair()
    # a large world refreshes more rarely, so that the share of running pairs stays lifelike
    refresh = int(world.random.uniform(60, 300) * max(1.0, size / 50))
    return world.add_pair(
        Pair(
            id=number,
            name=member.name,
            source=member.source,
            access_type=member.access_type,
            status=member.status,
            connector_id=number + 20,
            credential_id=number + 5,
            created=world.now - timedelta(days=30),
            profile=PROFILES[member.profile],
            refresh=None if member.life == "runs once" else refresh,
        )
    )


def _past(world: OnyxWorld, pair: Pair, member: Member) -> Iterable[Past]:
    """Starts and ends of earlier runs, in no order; a pair that never ran has none."""
    if member.status == "SCHEDULED":
        return
    if pair.refresh is None:
        yield world.now - timedelta(days=11), pair, "success"
        return
    if member.status == "INITIAL_INDEXING":
        return
    runs = 6 if member.profile == "failing" else world.random.randint(8, 26)
    # the stalled run, which began half an hour ago, comes after all of these
    since = 1750 if member.profile == "stalling" else world.random.uniform(5, pair.refresh)
    ended = world.now - timedelta(seconds=since)
    for number in range(runs):
        status = pair.profile.end(world.random)
        first = number == runs - 1
        failing = member.profile == "failing" and not first
        if member.profile == "rejected" and member.status == "ACTIVE" and number < 3:
            status = "success"
        yield ended - timedelta(seconds=(pair.refresh + 45) * number + 40), pair, "failed" if failing else status


def _write(world: OnyxWorld, pair: Pair, started: datetime, status: str) -> Attempt:
    """A finished attempt as it would have been left behind."""
    first = not pair.attempts
    documents = pair.profile.first if first else world.random.randint(*pair.profile.documents)
    attempt = world.add_attempt(
        pair,
        status={"stalled": "failed", "rejected": "canceled"}.get(status, status),
        from_beginning=first,
        started=started,
        updated=started + timedelta(seconds=world.random.uniform(10, 40)),
        poll_start=started - timedelta(seconds=pair.refresh or 0),
        poll_end=started,
    )
    if status in SUCCESSFUL or status in ("interrupted", "stalled"):
        attempt.total_docs = documents
        attempt.new_docs = documents if first else documents // 6
        pair.docs += attempt.new_docs
    if status == "completed_with_errors":
        for _ in range(world.random.randint(1, 4)):
            world.add_failure(attempt)
    attempt.error_msg = {
        "stalled": "No heartbeat received for 1800 seconds",
        "rejected": REJECTED,
        "failed": "The source closed the connection after 3 attempts",
        "interrupted": "The worker went away for a deploy; the run resumes by itself",
    }.get(status)
    return attempt


def _enliven(world: OnyxWorld, pair: Pair, member: Member) -> None:
    """What is under way at the world's start, and what will happen by itself."""
    if member.status == "INITIAL_INDEXING":
        attempt = world.add_attempt(pair, from_beginning=True)
        world.begin(pair, attempt)
        attempt.total_docs = attempt.new_docs = pair.docs = 640
        attempt.left -= 640
    elif member.profile == "stalling":
        attempt = world.add_attempt(pair)
        world.begin(pair, attempt)
        attempt.started = world.now - timedelta(seconds=1700)
        attempt.updated = world.now - timedelta(seconds=1500)
        attempt.outcome, attempt.left, attempt.total_docs = "stalled", 0, 96
    if member.life == "dozes":
        world.after(world.random.uniform(60, 240), lambda: _doze(world, pair))
    elif member.life == "leaves":
        world.after(120, lambda: world.delete(pair))


def _doze(world: OnyxWorld, pair: Pair) -> None:
    lives.by_turns(
        world,
        (120, 300),
        lambda: pair.status == "PAUSED",
        pause=lambda: world.pause(pair),
        resume=lambda: world.resume(pair),
    )


def _visit(world: OnyxWorld) -> None:
    def arrive() -> Pair:
        pair = _settle(world, VISITOR, 0)
        pair.created = world.now
        return pair

    lives.visits(world, arrive, world.delete, stay=(180, 300), every=400)


def load(world: OnyxWorld, entries: Iterable[dict[str, Any]]) -> None:
    """Fill the world with pairs that the list shows exactly as ``entries`` say.

    Each gets the fewest attempts that explain its entry: the latest one, the latest finished one, the latest success.
    """
    for entry in entries:
        if "cc_pair_id" not in entry:
            world.federated.append(Federated(**entry))
            continue
        number = entry["cc_pair_id"]
        pair = Pair(
            id=number,
            name=entry["name"],
            source=entry["source"],
            access_type=entry["access_type"],
            status=entry["cc_pair_status"],
            connector_id=number + 20,
            credential_id=number + 5,
            created=world.now - timedelta(days=30),
            docs=entry["docs_indexed"],
            repeated_error=entry["in_repeated_error_state"],
            editable=entry["is_editable"],
            permissions=entry.get("permissions"),
        )
        world.add_pair(pair)
        _explain(world, pair, entry)


def _explain(world: OnyxWorld, pair: Pair, entry: dict[str, Any]) -> None:
    success = datetime.fromisoformat(entry["last_success"]) if entry["last_success"] else None
    last, finished = entry["last_status"], entry["last_finished_status"]
    hour = timedelta(hours=1)
    if success and finished not in SUCCESSFUL:
        world.add_attempt(pair, status="success", started=success, updated=success)
    if finished is not None:
        start = success if success and finished in SUCCESSFUL else world.now - hour
        world.add_attempt(pair, status=finished, started=start, updated=start)
    if last in OPEN:
        world.add_attempt(pair, status=last, started=world.now if last == "in_progress" else None)
    if pair.attempts:
        pair.attempts[-1].total_docs = entry["latest_index_attempt_docs_indexed"]
