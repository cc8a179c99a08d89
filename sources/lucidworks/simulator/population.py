"""Who lives in the simulated Lucidworks: a cast in every state with a past."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sources.lucidworks.simulator.crawls import COUNTERS, PROFILES, Crawl, DataSource
from sources.lucidworks.simulator.world import FAILURES, LucidworksWorld
from sources.simulation import lives

COLLECTIONS = ("collection1", "intranet", "LucidWorksLogs")
#: What no answer of ours may ever show.
SECRETS = ("NOT-A-REAL-PASSWORD", "NOT-A-REAL-TICKET")


@dataclass(frozen=True, slots=True)
class Member:
    """One of the cast. ``life`` says how it stands at the world's start."""

    name: str
    type: str
    profile: str = "steady"
    collection: str = "collection1"
    life: str = "rests"
    settings: dict[str, Any] = field(default_factory=dict)


def _tree(url: str, depth: int = -1) -> dict[str, Any]:
    return {"url": url, "crawl_depth": depth, "bounds": "tree", "include_paths": [], "exclude_paths": []}


_ACCOUNT = {"username": "reader", "password": SECRETS[0]}
_WEB_AUTH = [{"type": "basic", "host": "wiki.example.com", "username": "reader", "password": SECRETS[1]}]
_QUERY: dict[str, Any] = {
    "driver": "com.mysql.jdbc.Driver",
    "primary_key": "id",
    "delta_sql_query": None,
    "nested_queries": [],
}

#: type → crawler and category
KINDS = {
    "web": ("lucid.aperture", "Web"),
    "file": ("lucid.aperture", "FileSystem"),
    "jdbc": ("lucid.jdbc", "Jdbc"),
    "solrxml": ("lucid.solrxml", "SolrXml"),
    "sharepoint": ("lucid.gcm", "GCM"),
    "smb": ("lucid.fs", "FileSystem"),
    "ftp": ("lucid.fs", "FileSystem"),
    "hdfs": ("lucid.fs", "FileSystem"),
    "s3": ("lucid.fs", "FileSystem"),
    "mongodb": ("lucid.mongodb", "MongoDB"),
    "twitter_stream": ("lucid.twitter.stream", "Twitter"),
    "azure_blob": ("lucid.azure_blob", "Azure"),
    "external": ("lucid.external", "External"),
}

CAST = (
    Member(
        "Company web site", "web", "large", life="runs", settings={**_tree("http://www.example.com/", 2), "auth": []}
    ),
    Member("Shared documents", "file", life="runs", settings={"path": "/data/docs", **_tree("file:/data/docs/")}),
    Member(
        "Orders",
        "jdbc",
        "careless",
        settings={
            "url": "jdbc:mysql://db.example.com/orders",
            **_ACCOUNT,
            **_QUERY,
            "sql_select_statement": "select id, title from orders",
        },
    ),
    Member("Legal archive", "solrxml", "moody", life="runs", settings={"path": "/data/xml", "url": "file:/data/xml/"}),
    Member("Team sites", "sharepoint", "failing", "intranet", settings={**_tree("http://sp.example.com/"), **_ACCOUNT}),
    Member(
        "Engineering wiki",
        "web",
        "careless",
        "intranet",
        "runs",
        {**_tree("http://wiki.example.com/"), "auth": _WEB_AUTH},
    ),
    Member(
        "Home directories",
        "smb",
        "stateless",
        "intranet",
        settings={**_tree("smb://files.example.com/home/"), **_ACCOUNT},
    ),
    Member(
        "Price lists", "ftp", "hurried", "intranet", settings={**_tree("ftp://ftp.example.com/prices/"), **_ACCOUNT}
    ),
    Member("Event exports", "hdfs", "stalling", settings=_tree("hdfs://cluster.example.com:9000/events/")),
    Member("Scanned contracts", "s3", "stateless", settings={**_tree("s3n://contracts.example.com/"), **_ACCOUNT}),
    Member("Product catalogue", "mongodb", "moody", settings={"url": "mongodb://db.example.com/catalogue", **_ACCOUNT}),
    Member("Brand mentions", "twitter_stream", "large", life="runs", settings={"url": "https://stream.example.com/"}),
    Member("Media library", "azure_blob", life="never", settings={"url": "https://media.example.com/", **_ACCOUNT}),
    Member("Locked share", "smb", "empty", "intranet", settings={**_tree("smb://vault.example.com/"), **_ACCOUNT}),
    Member("Pushed by the CMS", "external", life="never runs", settings={"path": "cms"}),
    Member("Server logs", "external", "hurried", "LucidWorksLogs", settings={"path": "logs"}),
)
#: A data source that comes, crawls and is deleted again, over and over.
VISITOR = Member("Trial import", "file", life="visits", settings={"path": "/tmp/trial", **_tree("file:/tmp/trial/")})


def populate(world: LucidworksWorld) -> None:
    world.collections += COLLECTIONS
    settled = [(settle(world, member), member) for member in CAST]
    for source, member in settled:
        if not member.life.startswith("never"):
            _remember(world, source)
    for source, member in settled:
        _enliven(world, source, member)
    world.after(15, lambda: _visit(world))


def settle(world: LucidworksWorld, member: Member) -> DataSource:
    number = world.next_source()
    crawler, category = KINDS[member.type]
    return world.add(
        DataSource(
            id=number,
            key=f"{member.name.lower().replace(' ', '-')}-{number}" if member is VISITOR else _key(member),
            collection=member.collection,
            name=member.name,
            type=member.type,
            crawler=crawler,
            category=category,
            created=world.now - timedelta(days=40 - number),
            settings=dict(member.settings),
            profile=PROFILES[member.profile],
            scheduled=member.life != "never runs",
        )
    )


def _key(member: Member) -> str:
    return member.name.lower().replace(" ", "-")


def _remember(world: LucidworksWorld, source: DataSource) -> None:
    """Past crawls, the latest a little before now."""
    profile, random = source.profile, world.random
    count = random.randint(6, 50)
    gap = (sum(profile.rest) + 120) / 2 + 60
    newest = world.now - timedelta(seconds=random.uniform(50, 70))
    for back in range(count, 0, -1):
        started = newest - timedelta(seconds=gap * back)
        crawl = world.next_crawl(started)
        outcome = profile.end(random)
        crawl.state = "ABORTED" if outcome == "stalled" else outcome
        documents = random.randint(*profile.documents)
        if outcome != "FINISHED":
            documents = int(documents * random.uniform(0.1, 0.7))
        world.have_looked_at(source, crawl, documents)
        if crawl.state == "EXCEPTION":
            crawl.message, text = random.choice(FAILURES)
            crawl.counts["failed"] += 1
            crawl.exception = [{"message": text, "stack": [crawl.message]}]
        crawl.stopped = started + timedelta(seconds=random.uniform(10, 50))
        source.keep(crawl)
        source.crawl = crawl


def _enliven(world: LucidworksWorld, source: DataSource, member: Member) -> None:
    """What is under way at the world's start, and what will happen by itself."""
    if member.life == "runs":
        world.start(source)
        _advance(world, source)
    elif member.life == "rests":
        world.after(world.random.uniform(2, 60), lambda: world.begin(source))
    elif member.life == "never":
        world.after(world.random.uniform(150, 240), lambda: world.begin(source))


def _advance(world: LucidworksWorld, source: DataSource) -> None:
    """Let its crawl have begun a while ago."""
    crawl = source.crawl
    assert isinstance(crawl, Crawl)
    crawl.state, crawl.started = "RUNNING", world.now - timedelta(seconds=20)
    world.look_at(source, crawl, crawl.left // 4)
    assert set(crawl.counts) == set(COUNTERS)
    world.step_later(source, crawl)


def _visit(world: LucidworksWorld) -> None:
    def arrive() -> DataSource:
        source = settle(world, VISITOR)
        source.created = world.now
        world.after(4, lambda: world.begin(source))
        return source

    lives.visits(world, arrive, world.delete, stay=(180, 300), every=400)
