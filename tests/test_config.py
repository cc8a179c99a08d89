"""The configuration: every mistake names the file, the key and what would be valid, and shows no secret."""

from pathlib import Path

import pytest

from connectory.commands.gateway import configured_systems
from connectory.config.loading import Config, ConfigError, Override, load
from connectory.config.settings import is_loopback, origin

SYSTEM = """
[[systems]]
name = "docs"
kind = "onyx"
url = "https://onyx.example.com/api"
token = "tok-3141592653"
"""


def write(folder: Path, text: str | bytes) -> Path:
    file = folder / "connectory.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def wrong(folder: Path, text: str | bytes, environ: dict[str, str] | None = None) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(write(folder, text), environ=environ or {})
    return caught.value.problems


def right(
    folder: Path, text: str, environ: dict[str, str] | None = None, overrides: tuple[Override, ...] = ()
) -> Config:
    return load(write(folder, text), environ=environ or {}, overrides=overrides)


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    config = right(tmp_path, "")
    assert config.auth.anonymous == "VIEWER"
    assert (config.server.host, config.server.port) == ("127.0.0.1", 8000)
    assert config.store.url == "sqlite:///connectory.db"
    assert config.engine.model_dump() == {
        "poll_interval": 15.0,
        "live_interval": 2.0,
        "stale_after": 90.0,
        "max_backoff": 60.0,
        "auth_probe_interval": 300.0,
    }
    assert config.retention.model_dump() == {
        "events_days": 30,
        "events": 1_000_000,
        "jobs_days": 400,
        "jobs_per_connector": 1_000,
        "outages_per_system": 10_000,
        "notices": 20_000,
    }
    assert config.systems == ()


#: What stands in the file, the key that the problem names, and what else it says.
NOTICES = '[[notices]]\nname = "pager"\nurl = "https://pager.example.com"\nformat = "slack"\n'
MISTAKES = [
    ("[server]\nprt = 1", "server.prt", ["unknown key", 'did you mean "port"', "allowed_origins"]),
    ("[serve]\nport = 1", "serve", ["unknown table", 'did you mean "server"', "systems"]),
    ("[[system]]\nname = 'a'", "system", ['did you mean "systems"']),
    ("server = 3", "server", ["[server]"]),
    ("[systems]\nname = 'a'", "systems", ["[[systems]]"]),
    ("systems = [3]", "systems[0]", ["[[systems]]"]),
    ("[server]\nport = 70000", "server.port", ["65535"]),
    ("[server]\nport = 'http'", "server.port", ["integer", "0 to 65535"]),
    ("[server]\nhost = ''", "server.host", ["at least 1 character"]),
    ("[server]\nhost = '0.0.0.0'", "server.host", ["127.0.0.1", "allow_anonymous = true"]),
    ("[server]\nhost = 'gateway.example.com'", "server.host", ["allow_anonymous = true"]),
    ("[server]\nallowed_hosts = 'x'", "server.allowed_hosts", ["a list"]),
    ("[server]\nallowed_hosts = ['https://x']", "server.allowed_hosts[0]", ["without scheme"]),
    ("[server]\nallowed_hosts = ['x:80']", "server.allowed_hosts[0]", ["port"]),
    ("[server]\nallowed_origins = ['x']", "server.allowed_origins[0]", ["https://board.example.com"]),
    ("[server]\nallowed_origins = ['https://x/path']", "server.allowed_origins[0]", ["scheme, host and port"]),
    ("[server]\nallowed_origins = ['null']", "server.allowed_origins[0]", ["scheme, host and port"]),
    ("[auth]\nanonymous = 'ADMIN'", "auth.anonymous", ["'VIEWER' or 'OPERATOR'", "loopback"]),
    ("[auth]\nanonymus = 'VIEWER'", "auth.anonymus", ["unknown key", 'did you mean "anonymous"']),
    ("auth = 'OPERATOR'", "auth", ["[auth]"]),
    ("[store]\nurl = 'mysql://u:pass-271828@h/d'", "store.url", ["mysql", "postgresql://"]),
    ("[store]\nurl = 'nonsense'", "store.url", ["sqlite:///FILE"]),
    ("[store]\nurl = 'postgresql://u:pass-271828@h/d?sslmode=full'", "store.url", ["sslmode", "verify-full"]),
    ("[store]\nurl = 'postgresql://u@h/d?password=pass-271828&require_auth=md5'", "store.url", ["require_auth"]),
    ("[engine]\npoll_interval = 0.5", "engine.poll_interval", ["greater than or equal to 1"]),
    ("[engine]\nlive_interval = 0.4", "engine.live_interval", ["greater than or equal to 0.5"]),
    ("[engine]\nstale_after = 0", "engine.stale_after", ["greater than 0"]),
    ("[engine]\nmax_backoff = inf", "engine.max_backoff", ["finite"]),
    ("[engine]\npoll_interval = nan", "engine.poll_interval", ["finite"]),
    ("[retention]\nevents_days = -1", "retention.events_days", ["greater than or equal to 0", "0 sets no limit"]),
    ("[retention]\nevents = 0.5", "retention.events", ["integer", "0 sets no limit"]),
    ("[retention]\njobs_days = inf", "retention.jobs_days", ["finite"]),
    ("[retention]\njob_days = 1", "retention.job_days", ["unknown key", 'did you mean "jobs_days"']),
    (SYSTEM.replace("onyx\"", "onix\""), "systems[0].kind", ['"onix"', 'did you mean "onyx"', "elastic"]),
    (SYSTEM.replace('kind = "onyx"', ""), "systems[0].kind", ["missing", "elastic", "onyx"]),
    (SYSTEM.replace('"onyx"', "4"), "systems[0].kind", ["text", "onyx"]),
    (SYSTEM.replace('token = "tok-3141592653"', ""), "systems[0].token", ["missing", "API key"]),
    (SYSTEM + "tokn = 'x'", "systems[0].tokn", ["unknown key", 'did you mean "token"']),
    (SYSTEM + "timeout = 0", "systems[0].timeout", ["greater than 0", "seconds"]),
    (SYSTEM + "poll_interval = 0.5", "systems[0].poll_interval", ["greater than or equal to 1"]),
    (SYSTEM + "live_interval = 0.1", "systems[0].live_interval", ["greater than or equal to 0.5"]),
    (SYSTEM.replace('"docs"', '"My Docs"'), "systems[0].name", ["lower-case letters, digits and hyphens"]),
    (SYSTEM.replace("https://onyx", "onyx"), "systems[0].url", ["URL"]),
    (SYSTEM.replace("https://", "https://u:pass-271828@"), "systems[0].url", ["credentials"]),
    (SYSTEM + SYSTEM, "systems[1].name", ['"docs"', "systems[0]"]),
    (SYSTEM.replace("tok-3141592653", "${ONYX_TOKEN}"), "systems[0].token", ["ONYX_TOKEN", "not set"]),
    (SYSTEM.replace("tok-3141592653", "${ONYX TOKEN}"), "systems[0].token", ["name of an environment variable"]),
    (SYSTEM.replace("tok-3141592653", "${ONYX_TOKEN"), "systems[0].token", ["name of an environment variable"]),
    (NOTICES + "secret = 'short'", "notices[0].secret", ["at least 16 characters, not 5;"]),
    (NOTICES + "conditions = ['X']", "notices[0].conditions[0]", ["is none of what is valid; a list", "NO_PROGRESS"]),
    ("[server]\nallowed_hosts = ['a', '${MORE}']", "server.allowed_hosts[1]", ["MORE"]),
    (
        SYSTEM.replace("onyx\"", "elastic\"").replace("token =", "username = 'u'\ntoken ="),
        "systems[0]",
        ["username and password belong together"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "key", "parts"), MISTAKES, ids=[f"{key}-{n}" for n, (_, key, _) in enumerate(MISTAKES)]
)
def test_a_mistake_names_file_key_and_what_is_valid(tmp_path: Path, text: str, key: str, parts: list[str]) -> None:
    (problem,) = wrong(tmp_path, text)
    assert problem.startswith(f"{tmp_path / 'connectory.toml'}: {key}: ")
    for part in parts:
        assert part in problem
    for secret in ("tok-3141592653", "pass-271828"):
        assert secret not in problem


def test_one_run_tells_every_mistake(tmp_path: Path) -> None:
    problems = wrong(tmp_path, "[server]\nport = -1\n[engine]\npoll = 3\n" + SYSTEM + "tokn = 1")
    assert [problem.split(": ")[1] for problem in problems] == ["server.port", "engine.poll", "systems[0].tokn"]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (b"[server\n", ["line 1", "not valid TOML"]),
        (b"[server]\nport = 1\nport = 2\n", ["line 3", "not valid TOML"]),
        (b"[server]\nhost = 'caf\xe9'\n", ["line 2", "UTF-8"]),
        (b"a = " + b"[" * 5000 + b"]" * 5000, ["nested too deeply"]),
    ],
)
def test_a_file_that_is_no_toml_names_the_line(tmp_path: Path, text: bytes, parts: list[str]) -> None:
    (problem,) = wrong(tmp_path, text)
    assert problem.startswith(f"{tmp_path / 'connectory.toml'}: ")
    for part in parts:
        assert part in problem


def test_a_missing_file_comes_with_an_example_that_is_valid(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "none.toml", environ={})
    (problem,) = caught.value.problems
    assert problem.startswith(f"{tmp_path / 'none.toml'}: there is no such file")
    assert "make demo" in problem
    example = "\n".join(line.strip() for line in problem.splitlines() if line.startswith("    "))
    assert len(right(tmp_path, example, {"ONYX_TOKEN": "tok-1"}).systems) == 1


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="directory"):
        load(tmp_path, environ={})


def test_references_are_read_from_the_environment(tmp_path: Path) -> None:
    text = SYSTEM.replace("tok-3141592653", "${KEY}-${KEY}").replace("onyx.example.com", "${HOST}")
    config = right(tmp_path, text + "verify_tls = false", {"KEY": "k1", "HOST": "h.example.com"})
    _, settings = config.systems[0]
    assert settings.base_url == "https://h.example.com/api"
    assert settings.verify_tls is False
    assert config.secrets == {"k1-k1"}


def test_two_dollars_stand_for_one(tmp_path: Path) -> None:
    config = right(tmp_path, SYSTEM.replace("tok-3141592653", "a$${B}c$d"))
    assert config.secrets == {"a${B}c$d"}


def test_an_interpolated_secret_is_not_repeated(tmp_path: Path) -> None:
    text = SYSTEM.replace('"https://onyx.example.com/api"', '"${ADDRESS}"').replace('"docs"', '"${NAME}"')
    problems = wrong(tmp_path, text + SYSTEM.replace('"docs"', '"${NAME}"'), {"ADDRESS": "s3cr3t", "NAME": "hush-hush"})
    assert any(problem.split(": ")[1] == "systems[1].name" for problem in problems)
    assert "s3cr3t" not in "\n".join(problems)
    assert "hush-hush" not in "\n".join(problems)


@pytest.mark.parametrize("query", ["password=pass-271828", "sslmode=require&sslpassword=pass-271828"])
def test_secrets_among_the_parameters_of_the_store_are_secrets(tmp_path: Path, query: str) -> None:
    config = right(tmp_path, f"[store]\nurl = 'postgresql://u@h/d?{query}'")
    assert config.secrets == {"pass-271828"}
    assert "pass-271828" not in f"{config!r} {config.store.address}"


def test_secrets_do_not_show_in_the_configuration_itself(tmp_path: Path) -> None:
    config = right(tmp_path, "[store]\nurl = 'postgresql://u:pass-271828@h/d'\n" + SYSTEM)
    assert config.secrets == {"pass-271828", "tok-3141592653"}
    assert not any(secret in repr(config) for secret in config.secrets)


PORT_IN_FILE = "[server]\nport = 1001\n"


@pytest.mark.parametrize(
    ("text", "environ", "option", "port"),
    [
        ("", {}, None, 8000),
        (PORT_IN_FILE, {}, None, 1001),
        (PORT_IN_FILE, {"CONNECTORY_PORT": "1002"}, None, 1002),
        (PORT_IN_FILE, {"CONNECTORY_PORT": ""}, None, 1001),
        (PORT_IN_FILE, {"CONNECTORY_PORT": "1002"}, 1003, 1003),
        ("[server]\nport = '${NOT_SET}'\n", {"CONNECTORY_PORT": "1002"}, None, 1002),
    ],
)
def test_command_line_then_environment_then_file_then_default(
    tmp_path: Path, text: str, environ: dict[str, str], option: int | None, port: int
) -> None:
    overrides = () if option is None else (Override(("server", "port"), option, "--port"),)
    assert right(tmp_path, text, environ, overrides).server.port == port


def test_the_environment_names_file_host_and_store(tmp_path: Path) -> None:
    file = write(tmp_path, "[store]\nurl = 'sqlite:///a.db'")
    environ = {"CONNECTORY_CONFIG": str(file), "CONNECTORY_STORE_URL": "sqlite:///b.db", "CONNECTORY_HOST": "::1"}
    config = load(None, environ=environ)
    assert (config.store.url, config.server.host) == ("sqlite:///b.db", "::1")
    with pytest.raises(ConfigError, match=r"elsewhere\.toml"):
        load(tmp_path / "elsewhere.toml", environ=environ)


@pytest.mark.parametrize(
    ("variable", "value", "key"),
    [
        ("CONNECTORY_PORT", "many", "server.port"),
        ("CONNECTORY_HOST", "0.0.0.0", "server.host"),
        ("CONNECTORY_STORE_URL", "mongodb://u:pass-271828@h", "store.url"),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(tmp_path: Path, variable: str, value: str, key: str) -> None:
    (problem,) = wrong(tmp_path, "", {variable: value})
    assert problem.startswith(f"{variable}: {key}: ")
    assert "pass-271828" not in problem


def test_an_open_address_may_be_allowed(tmp_path: Path) -> None:
    config = right(tmp_path, "[server]\nhost = '0.0.0.0'\nallow_anonymous = true")
    assert not config.server.is_local


def test_times_are_effective_per_system(tmp_path: Path) -> None:
    own = SYSTEM.replace("docs", "own") + "poll_interval = 100\nlive_interval = 1\nstale_after = 400\n"
    short = SYSTEM.replace("docs", "short") + "poll_interval = 50\nstale_after = 60\n"
    config = right(tmp_path, "[engine]\npoll_interval = 20\nmax_backoff = 5\n" + SYSTEM + own + short)
    plain, own_times, raised = configured_systems(config)
    times = [
        (s.poll_interval, s.live_interval, s.stale_after, s.max_backoff, s.auth_probe_interval)
        for s in (plain, own_times, raised)
    ]
    assert times == [(20, 2, 90, 20, 300), (100, 1, 400, 100, 300), (50, 2, 150, 50, 300)]


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("[::1]", True), ("localhost", True),
        ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("localhost.example.com", False), ("", False),
    ],
)  # fmt: skip
def test_loopback(host: str, is_local: bool) -> None:
    assert is_loopback(host) is is_local


@pytest.mark.parametrize(
    ("header", "meant"),
    [
        ("https://A.example.com", ("https", "a.example.com", 443)),
        ("http://[::1]:8000", ("http", "::1", 8000)),
        ("https://[::1].x", None), ("https://[::1]x:8000", None), ("https://x:", ("https", "x", 443)),
        ("https://x:65536", None), ("https://x@[::1]", None), ("https://", None), ("https://x?", None),
        ("null", None), ("file://", None), ("https://x/y", None), ("https://u@x", None), ("https://x:port", None),
        ("chrome-extension://abc", None), ("", None),
    ],
)  # fmt: skip
def test_origins(header: str, meant: tuple[str, str, int] | None) -> None:
    assert origin(header) == meant
