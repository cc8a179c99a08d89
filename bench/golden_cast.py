"""Who lives in the golden world: players for the script, and a healthy crowd around them."""

from dataclasses import replace
from datetime import timedelta

from golden_players import ElasticPlayer, LucidworksPlayer, OnyxPlayer, Player
from golden_stage import Stage

from sources.elastic.simulator.population import Part, enter
from sources.elastic.simulator.worker import Worker
from sources.elastic.simulator.world import ElasticWorld
from sources.feldera.simulator.deployment import Pipeline
from sources.feldera.simulator.endpoints import Endpoint, Profile
from sources.feldera.simulator.world import FelderaWorld
from sources.lucidworks.simulator.crawls import Profile as CrawlProfile
from sources.lucidworks.simulator.population import Member, settle
from sources.lucidworks.simulator.world import LucidworksWorld
from sources.onyx.simulator.pairs import Federated, Pair
from sources.onyx.simulator.pairs import Profile as PairProfile
from sources.onyx.simulator.world import OnyxWorld
from sources.zensearch.simulator.world import Connector, ZenSearchWorld
from sources.zensearch.simulator.world import Profile as SyncProfile


class Cast:
    """Makes players, and the crowd, each with a number of its own."""

    def __init__(self, stage: Stage) -> None:
        onyx, elastic, lucidworks = stage.world("onyx"), stage.world("elastic"), stage.world("lucidworks")
        feldera, zensearch = stage.world("feldera"), stage.world("zensearch")
        assert isinstance(onyx, OnyxWorld)
        assert isinstance(elastic, ElasticWorld)
        assert isinstance(lucidworks, LucidworksWorld)
        assert isinstance(feldera, FelderaWorld)
        assert isinstance(zensearch, ZenSearchWorld)
        self.onyx, self.elastic, self.lucidworks, self.feldera, self.zensearch = (
            onyx, elastic, lucidworks, feldera, zensearch
        )  # fmt: skip
        self._worker, self._number = Worker(elastic), 0
        lucidworks.collections.append("collection1")

    def onyx_player(self, name: str, profile: PairProfile | None = None, refresh: int | None = None) -> OnyxPlayer:
        number = self.onyx.next_pair()
        profile = profile or PairProfile({"success": 1}, documents=(560, 720), first=640, pace=(8.0, 16.0))
        pair = Pair(
            number, name, "confluence", "private", "ACTIVE", number + 20, number + 5, self.onyx.now,
            profile=profile, refresh=refresh,
        )  # fmt: skip
        return OnyxPlayer(self.onyx, self.onyx.add_pair(pair))

    def lucidworks_player(self, name: str, profile: CrawlProfile | None = None) -> LucidworksPlayer:
        source = settle(self.lucidworks, Member(name, "file", settings={"path": "/data"}))
        source.scheduled = profile is not None
        source.profile = profile or CrawlProfile({"FINISHED": 1}, documents=(560, 720), pace=(8.0, 16.0))
        if profile is not None:
            self.lucidworks.after(self.lucidworks.random.uniform(5, 900), lambda: self.lucidworks.begin(source))
        return LucidworksPlayer(self.lucidworks, source)

    def elastic_player(self, name: str, role: Part | None = None) -> ElasticPlayer:
        role = role or Part(name, "mysql", None, documents=20_000, lasts=480.0)
        self._number += 1
        connector = enter(self.elastic, replace(role, name=name), self._number)
        self._worker.employ(connector, role, self._number)
        return ElasticPlayer(self.elastic, self._worker, connector)

    def pipeline(self, name: str, *endpoints: Endpoint, bootstraps: bool = False) -> Pipeline:
        pipeline = self.feldera.add(name, endpoints=list(endpoints), bootstraps=bootstraps)
        self.feldera.run_since(pipeline, 30)
        return pipeline

    def crowd(self) -> tuple[list[Player], list[Pipeline]]:
        """Everybody who is well, all day long: those that can have a hiccup, and pipelines."""
        self.onyx.federated.append(Federated(1))
        players: list[Player] = [
            self.onyx_player(f"healthy {name}", profile, refresh) for name, profile, refresh in _PAIRS
        ]
        players += [self.lucidworks_player(f"healthy {name}", profile) for name, profile in _CRAWLS]
        players += [self.elastic_player(f"healthy {role.name}", role) for role in _PARTS]
        for number, profile in enumerate(_SYNCS):
            id = self.zensearch.next_id("conn")
            created = self.zensearch.now - timedelta(days=9)
            self.zensearch.add_connector(Connector(id, f"healthy {number}", "s3", None, created, profile=profile))
        pipelines = [self.pipeline(name, *endpoints, bootstraps=name == "nightly") for name, endpoints in _flows()]
        _scar(pipelines)
        return players, pipelines


_PAIRS: tuple[tuple[str, PairProfile, int | None], ...] = (
    ("handbook", PairProfile({"success": 1}, documents=(60, 400), pace=(4.0, 12.0)), 1800),
    ("archive", PairProfile({"success": 1}, documents=(2000, 6000), first=6000, pace=(8.0, 16.0)), 5400),
    ("drive", PairProfile({"interrupted": 1, "success": 2}, documents=(200, 900), pace=(4.0, 14.0)), 2400),
    ("tickets", PairProfile({"success": 1}, documents=(8, 32), queue=(1.0, 40.0)), 600),
    ("wiki", PairProfile({"success": 1}, documents=(40, 500), pace=(4.0, 18.0), queue=(1.0, 40.0)), 1200),
    ("uploads", PairProfile({"success": 1}), None),
    ("board", PairProfile({"success": 1}, documents=(100, 300), pace=(5.0, 15.0)), 3600),
)
_DENIED = {"filter_denied": 0.04, "robots_denied": 0.02, "not_found": 0.01, "access_denied": 0.02}
_CRAWL_TEMPERS = (
    CrawlProfile({"FINISHED": 1}, pace=(4.0, 12.0), rest=(1200.0, 2400.0)),
    CrawlProfile({"FINISHED": 1}, documents=(2000, 5000), pace=(4.0, 16.0), rest=(1800.0, 3600.0), losses=_DENIED),
    CrawlProfile({"FINISHED": 4, "STOPPED": 2, "ABORTED": 1}, pace=(4.0, 12.0), rest=(900.0, 1800.0), losses=_DENIED),
    CrawlProfile({"FINISHED": 1}, documents=(5, 30), rest=(300.0, 900.0)),
    CrawlProfile({"FINISHED": 5, "STOPPED": 1}, pace=(2.0, 16.0), rest=(600.0, 2400.0), stateless=True),
)
_CRAWLS = tuple(zip(("shares", "site", "catalogue", "prices", "scans"), _CRAWL_TEMPERS, strict=True))
_PARTS = (
    Part("repositories", "github", 60, access_control=20, documents=60_000, lasts=1500.0),
    Part("support wiki", "confluence", 20, endings=("completed", "error", "completed"), lasts=400.0),
    Part("reports", "s3", 30, endings=("suspended", "completed"), documents=9_000, lasts=600.0),
    Part("sales drive", "google_drive", 15, endings=("completed", "canceled"), documents=3_000, lasts=300.0),
    Part("data lake", "s3", 60, documents=2_400_000, lasts=2400.0),
    Part("replica", "mysql", None, status="configured"),
    Part("not set up", "confluence", None, status="needs_configuration"),
    Part("newcomer", "jira", 5, status="created", documents=700),
    # no hiccups for it: its jobs would wait for each other
    Part("orders", "mysql", 30, incremental=10, documents=18_000, lasts=45.0),
)
_SYNCS = (
    SyncProfile({"completed": 1}, rest=(600.0, 1800.0), pace=(4.0, 11.0)),
    SyncProfile({"completed": 1}, documents=(400, 800), changed=0.6, rest=(1800.0, 5400.0), pace=(4.0, 11.0)),
    SyncProfile({"completed": 3, "failed": 1, "cancelled": 1}, rest=(600.0, 1200.0), pace=(4.0, 11.0)),
    SyncProfile({"completed": 1}, documents=(0, 0), rest=(0.0, 0.0)),
)


def _flows() -> list[tuple[str, list[Endpoint]]]:
    """Pipelines: in and out, idle and in bursts, ended, and with errors of long ago."""
    sending = Profile((30, 80), record_bytes=82)
    kafka = Endpoint("orders", "kafka", True, "kafka_input", profile=Profile((20, 60), frontier=True))
    scarred = Endpoint("lines", "pulsar", True, "kafka_input", profile=Profile((5, 40)))
    idle = Endpoint("alarms", "quiet", True, "nats_input", profile=Profile((0, 0)))
    csv = Endpoint("items", "csv", True, "url_input", profile=Profile((60, 69), size=250_000))
    nightly = Endpoint("products", "s3", True, "s3_input", profile=Profile((30, 60), size=40_000))
    bursts = Endpoint("clicks", "nats", True, "nats_input", profile=Profile((0, 130)))
    flows = [("orders", [kafka, scarred, idle, Endpoint("totals", "out", False, "kafka_output", profile=sending)])]
    flows.append(("sales", [csv, Endpoint("sums", "out", False, "file_output", profile=sending)]))
    flows += [("nightly", [nightly]), ("clicks", [bursts])]
    return flows


def _scar(pipelines: list[Pipeline]) -> None:
    """Errors that were counted before anybody looked: totals alone are no trouble."""
    for pipeline in pipelines:
        for endpoint in pipeline.endpoints:
            if endpoint.connector == "pulsar":
                endpoint.record_errors, endpoint.transport_errors = 1234, 17
