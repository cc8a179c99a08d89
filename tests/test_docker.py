"""The container files: what the linters (`make lint`) do not look at."""

import json
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from connectory.config.loading import Override, load
from tests.paths import ROOT

DOCKER = ROOT / "docker"
COMPOSE_FILES = sorted(DOCKER.glob("compose*.yaml"))
#: A name of something that must not be written down.
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|API_?KEY|CREDENTIAL", re.IGNORECASE)
IN_A_CONTAINER = Override(("server", "host"), "0.0.0.0", "--host")


@dataclass
class Stage:
    """One FROM of a Dockerfile and its instructions, in order."""

    image: str
    name: str | None
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        return [text for word, text in self.steps if word == instruction]

    def last(self, instruction: str) -> str:
        return self.all(instruction)[-1]


def read_stages(path: Path) -> list[Stage]:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    stages: list[Stage] = []
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if not line.strip():
            continue
        word, text = line.split(maxsplit=1)
        if word == "FROM":
            image, *named = text.split(" AS ")
            stages.append(Stage(image.strip(), named[0].strip() if named else None))
        else:
            stages[-1].steps.append((word, text.strip()))
    return stages


STAGES = read_stages(DOCKER / "Dockerfile")
FINAL = STAGES[-1]


def compose(path: Path) -> dict[str, Any]:
    loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


SERVICES = [
    pytest.param(path, name, id=f"{path.name}:{name}") for path in COMPOSE_FILES for name in compose(path)["services"]
]


def test_the_image_is_built_in_stages_and_ships_the_last_alone() -> None:
    assert [stage.name for stage in STAGES] == ["web", "build", None]
    assert not FINAL.all("ADD")
    assert all(copied.startswith("--from=") for copied in FINAL.all("COPY"))


def test_base_images_are_pinned_by_tag() -> None:
    for stage in STAGES:
        assert re.fullmatch(r"[a-z0-9./-]+:\d+[\w.-]*", stage.image), stage.image
    assert STAGES[1].image == FINAL.image, "a virtual environment belongs to the Python it was made by"


def test_it_runs_as_a_numbered_user_who_is_not_root() -> None:
    user = FINAL.last("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    after = [word for word, _ in FINAL.steps][[word for word, _ in FINAL.steps].index("USER") :]
    assert "RUN" not in after


def test_it_tells_its_health_and_stops_on_sigterm() -> None:
    assert "http://127.0.0.1:8000/healthz" in FINAL.last("HEALTHCHECK")
    assert FINAL.last("STOPSIGNAL") == "SIGTERM"
    assert json.loads(FINAL.last("CMD"))[:2] == ["connectory", "serve"], (
        "no shell in between that would keep the signal"
    )


def test_nothing_secret_stands_in_the_image() -> None:
    for stage in STAGES:
        for text in stage.all("ENV") + stage.all("ARG"):
            assert not SECRET.search(text), text


def test_packages_are_installed_from_the_locks() -> None:
    for stage in STAGES:
        for step in " && ".join(stage.all("RUN")).split("&&"):
            if "pip" in step.split() and "install" in step.split():
                assert "--require-hashes" in step or "--no-deps --no-index" in step, step
            assert "npm install" not in step
    assert any("npm ci" in step for step in STAGES[0].all("RUN"))


def test_every_file_that_is_copied_exists_and_reaches_the_builder() -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for stage in STAGES:
        for copied in stage.all("COPY"):
            if copied.startswith("--from="):
                continue
            for name in copied.split()[:-1]:
                assert (ROOT / name).exists(), name
                assert any(Path(name).is_relative_to(entry) or Path(name).match(entry) for entry in allowed), name


def test_all_that_is_packaged_is_copied() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    copied = " ".join(STAGES[1].all("COPY"))
    for top in {name.split(".")[0] for name in listed}:
        assert f"{top}/ {top}/" in copied


def test_there_is_a_gateway_with_postgresql_and_a_demo() -> None:
    assert [path.name for path in COMPOSE_FILES] == ["compose.demo.yaml", "compose.yaml"]
    images = [service.get("image", "") for service in compose(DOCKER / "compose.yaml")["services"].values()]
    assert any(re.fullmatch(r"postgres:\d[\w.-]*", image) for image in images)


@pytest.mark.parametrize(("path", "name"), SERVICES)
def test_a_service_is_built_here_or_pinned(path: Path, name: str) -> None:
    service = compose(path)["services"][name]
    if "build" in service:
        assert (path.parent / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    else:
        assert re.fullmatch(r"[a-z0-9./-]+:\d[\w.-]*", service["image"]), service["image"]


@pytest.mark.parametrize(("path", "name"), SERVICES)
def test_what_stays_up_has_a_health_check_and_what_ends_has_none(path: Path, name: str) -> None:
    services = compose(path)["services"]
    awaited = [
        other["depends_on"][name]["condition"] for other in services.values() if name in other.get("depends_on", {})
    ]
    ends = "service_completed_successfully" in awaited
    checked = services[name].get("healthcheck", {})
    assert checked.get("disable", False) is ends
    assert ends or "test" in checked or "build" in services[name], "its own, or the image's"
    assert (services[name].get("restart") == "no") is ends


@pytest.mark.parametrize(("path", "name"), SERVICES)
def test_dependencies_wait_for_more_than_a_start(path: Path, name: str) -> None:
    services = compose(path)["services"]
    for other, how in services[name].get("depends_on", {}).items():
        assert other in services
        assert how["condition"] in {"service_healthy", "service_completed_successfully"}


@pytest.mark.parametrize(("path", "name"), SERVICES)
def test_memory_is_limited(path: Path, name: str) -> None:
    assert re.fullmatch(r"(\$\{\w+:-)?\d+[mg]\}?", compose(path)["services"][name]["mem_limit"])


def test_the_file_of_secrets_is_never_committed() -> None:
    assert "/docker/.env" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(("path", "name"), SERVICES)
def test_ports_are_published_on_this_machine_only(path: Path, name: str) -> None:
    for port in compose(path)["services"][name].get("ports", []):
        assert str(port).startswith("127.0.0.1:"), port


@pytest.mark.parametrize(("path", "name"), SERVICES)
def test_secrets_are_asked_for_and_have_no_default(path: Path, name: str) -> None:
    environment = compose(path)["services"][name].get("environment", {})
    for key, value in environment.items():
        for variable in re.findall(r"\$\{([^}]*)\}", str(value)):
            if SECRET.search(variable):
                assert re.match(r"\w+:\?", variable), f"{key}: {variable}"
        if SECRET.search(key):
            assert re.fullmatch(r"\$\{\w+:\?[^}]*\}", str(value)), key
        assert not re.search(r"//[^/@:]+:[^$@][^@]*@", str(value)), f"{key} has a password in its URL"


@pytest.mark.parametrize("path", COMPOSE_FILES, ids=lambda path: path.name)
def test_named_volumes_are_declared_and_mounted_files_exist(path: Path) -> None:
    loaded = compose(path)
    for service in loaded["services"].values():
        for mount in service.get("volumes", []):
            origin = mount.split(":")[0]
            if origin.startswith("."):
                assert (path.parent / origin).is_file(), origin
            else:
                assert origin in loaded["volumes"], origin


def test_the_store_outlives_its_container() -> None:
    mounts = compose(DOCKER / "compose.yaml")["services"]["postgres"]["volumes"]
    assert [mount.split(":")[1] for mount in mounts] == ["/var/lib/postgresql/data"]


def test_the_store_is_migrated_before_the_gateway_serves() -> None:
    services = compose(DOCKER / "compose.yaml")["services"]
    assert services["migrate"]["command"] == ["connectory", "db", "upgrade"]
    assert services["gateway"]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"


def test_the_configuration_asks_for_what_compose_passes_on() -> None:
    text = (DOCKER / "connectory.toml").read_text(encoding="utf-8")
    tomllib.loads(text)
    wanted = set(re.findall(r'"\$\{(\w+)\}"', text))
    assert wanted
    for name in ("gateway", "migrate"):
        service = compose(DOCKER / "compose.yaml")["services"][name]
        assert service["env_file"] == ".env", "whatever the file asks for, in one place"
        assert not wanted & set(service["environment"]), "what one system needs must not be demanded of all"
    load(DOCKER / "connectory.toml", environ=dict.fromkeys(wanted, "given"), overrides=[IN_A_CONTAINER])
    for line in text.splitlines():
        if SECRET.search(line.split("=")[0]) and "=" in line and not line.startswith("#"):
            assert re.search(r'= "\$\{\w+\}"', line), line
