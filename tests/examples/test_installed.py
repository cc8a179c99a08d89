"""The example as a stranger uses it: installed by pip, found by its entry point, asked through the real commands."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.paths import ROOT
from tests.test_cli import ask, run, started
from tests.wait import until

KIND = "scriptorium"
EXAMPLE = ROOT / "examples" / KIND
PACKAGE = EXAMPLE / f"connectory_{KIND}"
#: Where somebody who adds a system might have to write its name.
CONNECTORY = [
    *(file for top in ("connectory", "schema", "resolvers", "sources") for file in sorted((ROOT / top).rglob("*.py"))),
    *(ROOT / name for name in ("pyproject.toml", "Makefile", "schema/schema.graphql")),
]
QUERY = """{
  systems { name kind health capabilities }
  connectors {
    nodes {
      name source status inProgress docsIndexed lastJobStatus lastSuccessAt
      details { __typename ... on OtherConnectorDetails { data } }
    }
  }
  jobs(first: 1000) {
    nodes {
      externalId status startedAt completedAt counts { indexed failed } progress { processed total percent }
      connector { name }
      details { __typename ... on OtherJobDetails { data } }
    }
  }
}"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the example was installed into; pip builds in a copy, and asks no index."""
    folder = tmp_path_factory.mktemp("installed")
    source = shutil.copytree(
        EXAMPLE, folder / "source", ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    )
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(folder / "target"), str(source)]
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / "target"


def lines(*files: Path) -> int:
    assert files
    return sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)


def test_it_is_as_short_as_it_says() -> None:
    assert lines(*PACKAGE.rglob("*.py")) < 250
    assert lines(ROOT / "tests" / "examples" / f"test_{KIND}.py") < 25


def test_nothing_of_connectory_names_it() -> None:
    assert len(CONNECTORY) > 50
    assert [file for file in CONNECTORY if KIND in file.read_text(encoding="utf-8").lower()] == []


def test_it_is_typed() -> None:
    command = [sys.executable, "-m", "mypy", str(PACKAGE)]
    options = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache")]
    checked = subprocess.run(
        [*command, *options], cwd=EXAMPLE, env={"MYPYPATH": f"{EXAMPLE}:{ROOT}"},
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout + checked.stderr


async def test_it_is_served_like_every_other_system(installed: Path, tmp_path: Path) -> None:
    environ = {"PYTHONPATH": str(installed)}
    async with started("simulate", KIND, "--speed", "20", cwd=tmp_path, **environ) as simulated:
        entry = (await simulated.says(r"\[\[systems\]\](?:\n\w+ = .*)+"))[0]
        configuration = f"[server]\nport = 0\n[engine]\npoll_interval = 1.0\nlive_interval = 0.5\n{entry}\n"
        (tmp_path / "connectory.toml").write_text(configuration, encoding="utf-8")

        status, output, _ = await run("check", cwd=tmp_path, **environ)
        assert status == 0, output
        assert re.fullmatch(rf"{KIND}-demo +{KIND} +ok +reachable, authenticated, \d+ connectors\n", output)

        async with started("serve", cwd=tmp_path, **environ) as served:
            url = (await served.says(r"is at (http://\S+)/graphql"))[1]
            await _look_at(url)


async def _look_at(url: str) -> None:
    #: running jobs as they were seen first
    first: dict[str, dict[str, Any]] = {}
    data: dict[str, Any] = {}

    async def moved() -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Running jobs that have come further since they were seen first: as they were, as they are."""
        answer = await ask(url, QUERY)
        assert "errors" not in answer, answer
        data.update(answer["data"])
        running = [job for job in data["jobs"]["nodes"] if job["status"] == "RUNNING"]
        pairs = [(first.setdefault(job["externalId"], job), job) for job in running]
        return [pair for pair in pairs if pair[0]["progress"]["processed"] < pair[1]["progress"]["processed"]]

    for before, after in await until(moved, within=40, every=0.2):
        assert before["progress"]["percent"] < after["progress"]["percent"]
        assert before["progress"]["total"] == after["progress"]["total"] > 0
    _check_all(data)


def _check_all(data: dict[str, Any]) -> None:
    (system,) = data["systems"]
    assert (system["name"], system["kind"], system["health"]) == (f"{KIND}-demo", KIND, "UP")
    assert set(system["capabilities"]) == {"JOB_HISTORY", "JOB_PROGRESS", "JOB_TOTALS"}
    connectors = data["connectors"]["nodes"]
    assert {"early_prints", "maps"} <= {connector["source"] for connector in connectors}
    assert any(connector["inProgress"] for connector in connectors)
    for connector in connectors:
        assert connector["details"] == {"__typename": "OtherConnectorDetails", "data": connector["details"]["data"]}
        assert connector["details"]["data"].keys() == {"room"}
        assert connector["docsIndexed"] is not None
    for job in data["jobs"]["nodes"]:
        progress, shown = job["progress"], job["details"]
        assert shown["__typename"] == "OtherJobDetails"
        assert shown["data"].keys() == {"title"}
        assert progress["processed"] == job["counts"]["indexed"]
        if progress["total"] is None:
            assert (job["status"], progress["percent"]) == ("PENDING", None)
        else:
            assert progress["percent"] == pytest.approx(100 * progress["processed"] / progress["total"])
