"""Who may import whom: the contracts in pyproject.toml, checked by import-linter."""

import subprocess
import sys
import tomllib
from pathlib import Path

from tests.paths import ROOT

_LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter over the pyproject.toml and the packages in ``folder``."""
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); {_LINT}"
    return subprocess.run(
        [sys.executable, "-c", code, "--no-logo", "--no-cache", "--config", "pyproject.toml"],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_imports_go_one_way() -> None:
    linted = lint(ROOT)
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_a_wrong_import_is_found(tmp_path: Path) -> None:
    """The contracts bite: a copy of the real ones over packages of which one breaks them all."""
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    modules = {*linter["root_packages"]}
    for contract in linter["contracts"]:
        modules |= {*contract["source_modules"], *contract["forbidden_modules"]}
    own = sorted(module for module in modules if module.split(".")[0] in linter["root_packages"])
    for module in own:
        package = tmp_path
        for name in module.split("."):
            package /= name
            package.mkdir(exist_ok=True)
            (package / "__init__.py").touch()
    for contract in linter["contracts"]:
        for source in contract["source_modules"]:
            wrong = tmp_path.joinpath(*source.split("."), "wrong.py")
            with wrong.open("a") as file:  # it may be a source of several contracts
                file.writelines(f"import {module}\n" for module in contract["forbidden_modules"])
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(text[text.index("[tool.importlinter]") :])
    linted = lint(tmp_path)
    assert linted.returncode == 1, linted.stdout + linted.stderr
    assert f"0 kept, {len(linter['contracts'])} broken" in linted.stdout
