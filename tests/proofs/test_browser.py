"""GraphiQL as a person meets it: in a real browser that reaches nothing but the gateway.

Size: one visit to each page; FULL=1: the same.
"""

import re
import shutil
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import pytest
import pytest_asyncio
from aiohttp import ClientSession
from playwright.async_api import Browser, ConsoleMessage, Page, Request, Route, async_playwright, expect
from yarl import URL

from connectory.commands.demo import demo
from connectory.config.loading import Override
from connectory.web import graphiql
from tests.e2e.bridge import Bridge
from tests.missing import missing
from tests.wait import until

QUERY = ".graphiql-query-editor"
ANSWER = ".graphiql-response .view-lines"
#: Without these Chromium looks up hosts of its maker when it starts.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
# Starting the editor takes seconds where every core is busy.
expect.set_options(timeout=20_000)


@dataclass
class Visit:
    """A tab of the browser, with what it complained about and what it asked of others than the gateway."""

    page: Page
    #: where the gateway is to be reached
    hosts: set[str]
    complaints: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    async def guard(self, route: Route, request: Request) -> None:
        if URL(request.url).authority in self.hosts:
            await route.continue_()
        else:
            self.outside.append(request.url)
            await route.abort()

    def hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    async def begin(self, text: str) -> None:
        """Open a new tab and type ``text`` into it."""
        await self.page.get_by_role("button", name="New tab").click()
        await self.page.locator(f"{QUERY} .view-lines").click()
        await self.page.keyboard.type(text)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway_url() -> AsyncIterator[str]:
    """The address of the demo's gateway, once every system of it has answered."""
    if not graphiql.is_built():
        missing("Node.js build", "run 'make graphiql' where Node.js and npm are installed")
    port = Override(("server", "port"), 0, "the test")
    async with demo([port], speed=5.0, seed=1, configured=lambda _: None) as running, ClientSession() as http:

        async def all_up() -> bool:
            body = {"query": "{ systems { health } }"}
            async with http.post(f"{running.url}/graphql", json=body) as answer:
                systems = (await answer.json())["data"]["systems"]
            return bool(systems) and all(system["health"] == "UP" for system in systems)

        await until(all_up, within=30)
        yield running.url


async def moving_job(url: str) -> str:
    """The id of a job that has been seen to move twice: of a stream that does not end, as files do."""
    query = (
        '{ jobs(filter: {statuses: [RUNNING], sources: ["kafka"]}, first: 9) { nodes { id progress { processed } } } }'
    )
    numbers: defaultdict[str, set[int]] = defaultdict(set)

    async def look() -> str | None:
        async with ClientSession() as http, http.post(f"{url}/graphql", json={"query": query}) as answer:
            for job in (await answer.json())["data"]["jobs"]["nodes"]:
                numbers[job["id"]].add(job["progress"]["processed"])
        return next((id for id, seen in numbers.items() if len(seen) > 2), None)

    found = await until(look, within=30)
    assert found is not None
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        missing("Chromium", "install the browser, 'apt-get install chromium' on Debian")
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        try:
            yield started
        finally:
            await started.close()


@pytest_asyncio.fixture(loop_scope="module")
async def blank(gateway_url: str, browser: Browser, request: pytest.FixtureRequest) -> AsyncIterator[Visit]:
    """An empty tab of somebody who was never here before; parametrize indirectly with "light" or "dark" to set what the
    system prefers."""
    scheme: Literal["dark", "light"] = getattr(request, "param", "light")
    # A page made so has a context of its own: nothing that another one stored is there.
    page = await browser.new_page(viewport={"width": 1400, "height": 900}, color_scheme=scheme)
    try:
        visit = Visit(page, {URL(gateway_url).authority})
        page.on("console", visit.hear)
        page.on("pageerror", lambda error: visit.complaints.append(str(error)))
        await page.route("**/*", visit.guard)
        yield visit
    finally:
        await page.close()


@pytest_asyncio.fixture(loop_scope="module")
async def visit(gateway_url: str, blank: Visit) -> Visit:
    """GraphiQL, just opened."""
    await blank.page.goto(f"{gateway_url}/graphql")
    await expect(blank.page.locator(f"{QUERY} .view-lines")).to_contain_text("query Overview")
    return blank


@pytest.mark.asyncio(loop_scope="module")
async def test_a_person_looks_around(visit: Visit) -> None:
    page = visit.page
    await expect(page).to_have_title("Connectory")

    await page.get_by_role("button", name="Execute query").click()
    await expect(page.locator(ANSWER)).to_contain_text('"totalConnectors"')

    await page.get_by_role("button", name="Show Documentation Explorer").click()
    docs = page.locator(".graphiql-doc-explorer")
    await docs.get_by_role("link", name="Connector", exact=True).click()
    await expect(docs.locator(".graphiql-doc-explorer-title")).to_have_text("Connector")
    await expect(docs).to_contain_text("docsIndexed")

    assert visit.complaints == []
    assert visit.outside == []


@pytest.mark.asyncio(loop_scope="module")
async def test_a_person_types_a_query(visit: Visit) -> None:
    page = visit.page
    await visit.begin("{ systems { nonsense } }")
    # The worker that knows the schema marks it, so workers run under the page's policy.
    await expect(page.locator(f"{QUERY} .squiggly-error").first).to_be_attached()

    await page.keyboard.press("Control+A")
    await page.keyboard.press("Delete")
    await page.keyboard.type("{ systems { kind } }")
    await page.keyboard.press("Control+Enter")
    await expect(page.locator(ANSWER)).to_contain_text(re.compile(r'"kind":\s"\w+"'))
    await expect(page.locator(f"{QUERY} .squiggly-error")).to_have_count(0)

    assert visit.complaints == []
    assert visit.outside == []


@pytest.mark.asyncio(loop_scope="module")
async def test_a_person_follows_a_job(gateway_url: str, visit: Visit) -> None:
    page = visit.page
    job = await moving_job(gateway_url)
    # The editor closes brackets and quotes by itself, and writes over what it has closed.
    await visit.begin(f'subscription {{ jobProgress(jobId: "{job}") {{ kind processed }} }}')
    await page.keyboard.press("Control+Enter")
    numbers: set[str] = set()

    async def moving() -> bool:
        shown = re.search(r'"processed":\s(\d+)', await page.locator(ANSWER).inner_text())
        numbers.update(shown.groups() if shown else ())
        return len(numbers) >= 3

    await until(moving, within=30)
    await expect(page.get_by_role("button", name="Stop query")).to_be_visible()
    await page.get_by_role("button", name="Stop query").click()
    await expect(page.get_by_role("button", name="Execute query")).to_be_visible()

    assert visit.complaints == []
    assert visit.outside == []


@pytest.mark.asyncio(loop_scope="module")
async def test_a_person_opens_the_live_examples(visit: Visit) -> None:
    page = visit.page
    for tab in ("LiveJobs", "LiveEvents", "LiveSources"):
        await page.get_by_role("tab", name=tab).click()
        await expect(page.locator(ANSWER)).not_to_contain_text('"data"')
        await page.get_by_role("button", name="Execute query").click()
        await until(partial(differs, page, set()), within=60)
        await page.get_by_role("button", name="Stop query").click()

        assert visit.complaints == [], tab
        assert visit.outside == [], tab


async def differs(page: Page, answers: set[str]) -> bool:
    """Whether the answer that is shown has been seen to be three different ones."""
    shown = await page.locator(ANSWER).inner_text()
    if '"data"' in shown:
        answers.add(shown)
    return len(answers) >= 3


@pytest.mark.asyncio(loop_scope="module")
async def test_an_event_source_goes_on_after_breaks(gateway_url: str, blank: Visit) -> None:
    """It remembers the id of the last event by itself, and hands it back when it connects again."""
    page = blank.page
    begin = """([query]) => {
        window.seen = [];
        const source = new EventSource("graphql?query=" + encodeURIComponent(query));
        source.addEventListener("next", ({ data }) => window.seen.push(JSON.parse(data).data.events.cursor));
    }"""

    async def received() -> list[str]:
        cursors: list[str] = await page.evaluate("window.seen")
        return cursors

    async def more_than(number: int) -> bool:
        return len(await received()) > number

    async with Bridge(URL(gateway_url)) as bridge, ClientSession() as http:
        blank.hosts.add(bridge.url.authority)
        await page.goto(str(bridge.url / "graphql"))
        await page.evaluate(begin, ["subscription { events { cursor } }"])
        for _ in range(2):
            await until(partial(more_than, len(await received())), within=30)
            bridge.cut()
        await until(partial(more_than, len(await received())), within=30)
        seen = await received()
        query = "query ($after: String) { events(after: $after, first: 1000) { nodes { cursor } } }"
        body = {"query": query, "variables": {"after": seen[0]}}
        async with http.post(f"{gateway_url}/graphql", json=body) as answer:
            log = [event["cursor"] for event in (await answer.json())["data"]["events"]["nodes"]]
    assert seen[1:] == log[: len(seen) - 1]
    assert blank.outside == []


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("blank", "dark"), [("light", False), ("dark", True)], indirect=["blank"])
async def test_colours_follow_the_system(visit: Visit, dark: bool) -> None:
    colour = await visit.page.locator(".graphiql-container").evaluate("e => getComputedStyle(e).backgroundColor")
    channels = [int(number) for number in re.findall(r"\d+", colour)[:3]]
    assert (max(channels) < 128) is dark


@pytest.mark.asyncio(loop_scope="module")
async def test_files_are_kept_for_good_and_the_page_is_not(gateway_url: str) -> None:
    async with ClientSession(gateway_url) as http:
        async with http.get("/graphql", headers={"Accept": "text/html"}) as page:
            files = re.findall(r'(?:src|href)="(graphql/static/[^"]+)"', await page.text())
        assert page.headers["Cache-Control"] == "no-cache"
        assert "default-src 'self'" in page.headers["Content-Security-Policy"]
        assert len(files) >= 3
        for name in files:
            async with http.get(f"/{name}") as file:
                assert await file.read() == (graphiql.STATIC / "assets" / Path(name).name).read_bytes()
            assert file.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        async with http.get("/graphql/static/gone.js") as gone:
            assert gone.status == 404
        assert "immutable" not in gone.headers.get("Cache-Control", "")
