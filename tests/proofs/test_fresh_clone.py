"""``make demo`` in a fresh clone on a machine without Node.js: a GraphiQL that needs nothing from outside.

Size: one clone, its packages from the network; FULL=1: the same.
"""

import asyncio
import os
import re
import signal
import subprocess
from pathlib import Path

import aiohttp

from tests.paths import ROOT
from tests.proofs.conftest import Figures
from tests.wait import until

#: What comes with Node.js.
_NODE = frozenset({"node", "nodejs", "npm", "npx", "corepack"})


def without_node(folder: Path) -> str:
    """A search path that leads to everything that ours leads to, but for Node.js."""
    folder.mkdir()
    for place in map(Path, os.environ["PATH"].split(os.pathsep)):
        if place.is_dir() and ROOT not in place.parents:
            for command in place.iterdir():
                if command.name not in _NODE and not (folder / command.name).is_symlink():
                    (folder / command.name).symlink_to(command)
    return str(folder)


def clone(folder: Path) -> None:
    """The files that git knows, as they are now."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    names = [name for name in listed.decode().split("\0") if name and (ROOT / name).exists()]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((ROOT / name).read_bytes())


async def test_a_demo_without_node(tmp_path: Path, figures: Figures) -> None:
    checkout = tmp_path / "connectory"
    clone(checkout)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CONNECTORY_", "PYTHON", "MAKE"))}
    log = tmp_path / "log.txt"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            "make", "demo", "ARGS=--port 0", cwd=checkout, stdout=out, stderr=out, start_new_session=True,
            env={**kept, "PATH": without_node(tmp_path / "bin"), "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip

    async def greeted() -> re.Match[str] | None:
        assert process.returncode is None, log.read_text()
        return re.search(r"GraphiQL +(http://\S+)/graphql.*Ctrl-C ends it", log.read_text(), re.S)

    begun = asyncio.get_running_loop().time()
    try:
        found = await until(greeted, within=175, every=0.2)
        assert found is not None
        figures(f"the demo greets {asyncio.get_running_loop().time() - begun:.0f} s after `make demo`")
        assert "was not built" not in log.read_text()
        async with aiohttp.ClientSession(found[1], headers={"Accept": "text/html"}) as http:
            async with http.get("/graphql") as answer:
                page = await answer.text()
            assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
            scripts = re.findall(r'(?:src|href)="([^"]+)"', page)
            assert scripts
            for script in scripts:
                assert not script.startswith(("http:", "https:", "//")), script
                async with http.get(f"/{script.lstrip('/')}") as file:
                    assert file.status == 200, script
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 30)
