"""GraphQL over HTTP, as npm's graphql-http audits it."""

import asyncio
import json
import shutil

import pytest

from tests.api.gateway import served
from tests.missing import missing
from tests.paths import ROOT

WEB = ROOT / "web"


async def test_every_audit_passes(sqlite_url: str) -> None:
    node = shutil.which("node")
    if node is None or not (WEB / "node_modules" / "graphql-http").is_dir():
        missing("Node.js build", "run make graphiql where Node.js and npm are installed")
    async with served(sqlite_url) as client:
        process = await asyncio.create_subprocess_exec(
            node, "audit/http.js", f"{client.url}/graphql", cwd=WEB, stdout=asyncio.subprocess.PIPE
        )
        try:
            printed, _ = await asyncio.wait_for(process.communicate(), timeout=60)
        except TimeoutError:
            process.kill()
            pytest.fail("the audits did not end")
    audits = [json.loads(line) for line in printed.splitlines()]
    assert len(audits) > 50
    assert [audit for audit in audits if audit["status"] != "ok"] == []
