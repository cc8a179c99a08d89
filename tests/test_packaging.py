"""What the project ships and what it is installed from."""

import re
import subprocess
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

from tests.paths import ROOT

TOP_LEVEL = ("connectory", "schema", "resolvers", "sources")
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
#: Hosts that packages come from. Put together from pieces, so that this file does not name them.
REGISTRIES = [
    ".".join(pieces)
    for pieces in (
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("registry", "yarnpkg", "com"),
        ("deb", "debian", "org"),
    )
]
ADDRESS = re.compile(
    "|".join(
        [
            r"^\s*--(extra-)?index-url\b",
            r"^\s*(extra-)?index-url\s*=",
            r"^\s*--(find-links|trusted-host)\b",
            r'"resolved":\s*"' + "http",
            *map(re.escape, REGISTRIES),
        ]
    ),
    re.MULTILINE,
)
#: A place that exists on somebody's machine only.
MACHINE_PATH = re.compile(r"(?<![\w.~}/-])/(?:home|Users|root|work)/[\w.-]+")


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def tracked() -> list[Path]:
    """Every file that is or would be committed."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    files = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in files if path.is_file()]


def requirements(lock: Path) -> list[str]:
    """The logical lines of a lock file, comments taken out."""
    lines = [line for line in lock.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    return [line for line in "\n".join(lines).replace("\\\n", " ").splitlines() if line.strip()]


@pytest.mark.parametrize("name", TOP_LEVEL)
def test_no_other_distribution_ships_our_names(name: str) -> None:
    assert set(packages_distributions()[name]) == {"connectory"}


def test_it_cannot_be_uploaded_by_mistake() -> None:
    assert "Private :: Do Not Upload" in pyproject()["project"]["classifiers"]


def test_the_listed_packages_are_the_folders_that_are_packages() -> None:
    found = {
        ".".join(init.parent.relative_to(ROOT).parts) for top in TOP_LEVEL for init in (ROOT / top).rglob("__init__.py")
    }
    listed = pyproject()["tool"]["setuptools"]["packages"]
    assert sorted(listed) == sorted(found)
    assert not list((ROOT / "docker").rglob("__init__.py"))


def test_there_are_locks_for_running_building_and_testing() -> None:
    assert {"run.txt", "build.txt", "dev.txt"} <= {lock.name for lock in LOCKS}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_requirement_is_pinned_and_hashed(lock: Path) -> None:
    listed = requirements(lock)
    assert listed
    for requirement in listed:
        assert re.match(r"[A-Za-z0-9._-]+(\[[\w,-]+\])?==\S+ ", requirement), requirement
        assert "--hash=sha256:" in requirement, requirement


def test_the_locks_agree() -> None:
    def versions(name: str) -> dict[str, str]:
        pins = [requirement.split()[0].split("==") for requirement in requirements(ROOT / "requirements" / name)]
        return dict(pins)

    dev = versions("dev.txt")
    for package, version in (versions("run.txt") | versions("build.txt")).items():
        assert dev[package] == version, package


def test_every_dependency_is_locked() -> None:
    names = [re.match(r"[\w.-]+", wanted) for wanted in pyproject()["project"]["dependencies"]]
    locked = {requirement.split("==")[0].split("[")[0] for requirement in requirements(ROOT / "requirements/run.txt")}
    assert {name[0] for name in names if name} <= locked


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (ADDRESS, "--index-url" + " x"),
        (ADDRESS, "--extra-" + "index-url x"),
        (ADDRESS, '  "resolved": "' + "https://x"),
        (ADDRESS, f"see {REGISTRIES[0]}/simple"),
        (MACHINE_PATH, "at /" + "home/somebody/x"),
    ],
)
def test_the_patterns_find_what_must_not_stand_anywhere(pattern: re.Pattern[str], text: str) -> None:
    assert pattern.search(text)


def test_no_file_names_a_package_registry_or_a_place_of_one_machine() -> None:
    offences = []
    for path in tracked():
        text = path.read_text(encoding="utf-8", errors="replace")
        for pattern in (ADDRESS, MACHINE_PATH):
            offences += [f"{path.relative_to(ROOT)}: {found[0].strip()}" for found in pattern.finditer(text)]
    assert offences == []
