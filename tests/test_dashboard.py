"""admin/static/: the dashboard in a browser, over the real admin API.

The browser is the Chromium that COO_TEST_CHROMIUM names, else one of the PATH; without one these tests are skipped, but
not where CI is set. COO_SCREENSHOTS=1 writes the pictures of docs/images anew.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, TypeAlias, cast
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, Response, expect, sync_playwright
from starlette.applications import Starlette
from starlette.routing import Mount

from coo_middleware.admin import create_admin
from coo_middleware.core.record import Record
from coo_middleware.stores import StoreError, TotalsPage
from coo_middleware.stores.memory import MemoryStore
from tests.traffic import KEYS, LIMITS, Clock, count, live_an_hour, make_record, use_limits

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

    from tests.conftest import Serve

TOKEN = "a-token-that-may-look"
SPACE = "\N{NO-BREAK SPACE}"
HOSTILE = "<img src=x onerror=alert(1)>"
STATIC = Path(__file__).parent.parent / "coo_middleware" / "admin" / "static"
IMAGES = Path(__file__).parent.parent / "docs" / "images"
CONFIG = {
    "llm_providers": [
        {
            "id": provider,
            "type": provider,
            "base_url": f"https://{provider}.example.com",
            "keys": [{"id": key, "secret": f"secret-of-{key}"} for key in keys],
            "limits": {
                "req_per_min": LIMITS.req_per_min,
                "tokens_per_min": LIMITS.tokens_per_min,
                "concurrency": LIMITS.concurrency,
            },
        }
        for provider, keys in KEYS.items()
    ],
    "policy": {"limits": {"rules": [{"name": "callers", "per": ["caller"], "requests": 100}]}},
}
RECORDS = [
    *[make_record("openai", "openai-1", "gpt-5-mini") for _ in range(5)],
    *[make_record("openai", "openai-2", "gpt-5-mini", cache="hit", duration=0.002) for _ in range(3)],
    make_record("openai", "openai-1", "gpt-5-mini", error="status"),
    make_record("anthropic", "claude-1", "claude-sonnet-4-5", tokens=(4000, 1500), duration=3.0),
    make_record("anthropic", "claude-1", HOSTILE, cache="bypass"),
]


class Flaky(MemoryStore):
    """A store whose list is what a test says: there, missing, or out of reach."""

    mood = "well"

    async def list_totals(self, cursor: str = "") -> TotalsPage:
        if self.mood == "away":
            raise StoreError("cannot be reached")
        return await super().list_totals(cursor) if self.mood == "well" else cast("TotalsPage", None)


class Visit:
    """A page, and all that it asked for and complained about."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.asked: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))

    def sign_in(self, token: str = TOKEN) -> Response:
        """Presents a token at the form; the answer to what is asked with it, shown if it is one."""
        self.page.goto(self.url)
        self.page.get_by_role("textbox", name="Token").fill(token)
        with self.page.expect_response(is_summary) as told:
            self.page.keyboard.press("Enter")
        if told.value.ok:
            expect(self.page.locator("main")).to_be_visible()
        return told.value

    def tile(self, name: str) -> str:
        """The figure of a tile."""
        return self.page.locator(f"#tile-{name} .value").inner_text()


Open: TypeAlias = Callable[..., Visit]
Fill: TypeAlias = Callable[[list[Record]], None]


def is_summary(response: Response) -> bool:
    return "/coo/summary?" in response.url


def query_of(response: Response) -> dict[str, list[str]]:
    return parse_qs(urlsplit(response.url).query)


def find_chromium() -> str:
    """The browser's program, or the test's end."""
    names = [os.environ.get("COO_TEST_CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome"]
    found = next((path for path in map(shutil.which, filter(None, names)) if path), None)
    if found is None:
        text = "no Chromium on the PATH: install one, or name its program in COO_TEST_CHROMIUM"
        if os.environ.get("CI"):
            pytest.fail(text)
        pytest.skip(text)
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = find_chromium()
    # Chromium's sandbox refuses root, which is who runs tests in many a container.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, chromium_sandbox=os.geteuid() != 0)
        yield browser
        browser.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> Flaky:
    return Flaky(clock=clock)


@pytest.fixture
def fill(portal: BlockingPortal, store: Flaky) -> Fill:
    def fill(records: list[Record]) -> None:
        for record in records:
            portal.call(count, store, record)

    return fill


@pytest.fixture
def open_page(browser: Browser, serve: Serve, store: Flaky) -> Iterator[Open]:
    """`open_page(width=…)` is a visit to the dashboard of `store`; the keywords are those of a browser context."""
    app = Starlette(routes=[Mount("/coo", create_admin(CONFIG, store=store, read_token=TOKEN))])
    url = f"{serve(app)}/coo/"
    contexts = []

    def open_page(width: int = 1440, height: int = 1000, **options: object) -> Visit:
        settings: dict[str, object] = {"locale": "en-US", "timezone_id": "UTC", **options}
        context = browser.new_context(viewport={"width": width, "height": height}, **settings)  # type: ignore[arg-type]
        contexts.append(context)
        return Visit(context.new_page(), url)

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def visit(open_page: Open, fill: Fill) -> Visit:
    fill(RECORDS)
    return open_page()


def test_it_loads_under_its_policy_and_asks_nobody_else(visit: Visit) -> None:
    """No complaint in the console, no request to another origin, and a policy that allows nothing inline."""
    visit.sign_in()
    expect(visit.page.locator(".uplot")).to_have_count(5)
    page = visit.page.request.get(visit.url)

    assert [] == visit.complaints
    assert {urlsplit(visit.url).netloc} == {urlsplit(url).netloc for url in visit.asked}
    assert "script-src 'self'; style-src 'self'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]


def test_the_tiles_tell_what_the_api_tells(visit: Visit) -> None:
    """Each tile is the summary's figure, written for the reader's language."""
    told = visit.sign_in().json()["all"]

    assert f"{told['requests']:,}" == visit.tile("requests") == "11"
    assert f"{100 * told['hit_ratio']:.0f}%" == visit.tile("hit-ratio") == "30%"
    assert f"{told['tokens']:,}" == visit.tile("tokens") == "7,900"
    assert f"${told['cost']:.3f}" == visit.tile("cost") == "$0.028"
    assert f"${told['cost_saved']:.4f}" == visit.tile("saved") == "$0.0042"
    assert f"{told['failures']}" == visit.tile("errors") == "1"
    assert f"{told['duration']['p95']:.3g}{SPACE}s" == visit.tile("latency")
    assert f"{1000 * told['first_chunk']['p50']:.3g}{SPACE}ms" == visit.tile("first-chunk")


def test_the_charts_and_their_tables_tell_what_the_series_are(visit: Visit) -> None:
    """The legend adds up to the summary, something is drawn, and the table beside it has the same figures."""
    visit.sign_in()
    chart = visit.page.locator("figure", has_text="Requests by cache status")
    chart.get_by_text("Table").click()
    cells = chart.locator("tbody td").all_inner_texts()

    expect(chart.locator(".legend")).to_have_text(re.compile(r"hit 3.*miss 7.*bypass 1"))
    assert 11 == sum(map(int, cells))
    assert visit.page.evaluate(IS_PAINTED, chart.locator("canvas").element_handle())

    expect(chart.locator(".when")).to_have_text("1 min steps")
    chart.locator(".u-over").hover()
    expect(chart.locator(".when")).to_have_text(re.compile(r"\d:\d\d"))
    expect(chart.locator(".legend")).to_have_text(re.compile(r"hit 0.*miss 0.*bypass 0"))


IS_PAINTED = """canvas => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean)"""


def test_the_tables_tell_each_provider_key_and_model(visit: Visit) -> None:
    """A row for each, most requests first."""
    visit.sign_in()

    assert ["openai", "anthropic"] == visit.page.locator("#by-providers tbody th").all_inner_texts()
    assert "openai / openai-1" == visit.page.locator("#by-keys tbody th").first.inner_text()
    assert ["9", "33.3%", "2,000", "$0.007", "$0.0042", "1"] == (
        visit.page.locator("#by-providers tbody tr").first.locator("td").all_inner_texts()[:-1]
    )


def test_a_filter_changes_the_question_and_the_figures(visit: Visit) -> None:
    """A provider, its key and a range are asked for, are kept in the address, and narrow what is shown."""
    visit.sign_in()
    with visit.page.expect_response(is_summary) as told:
        visit.page.get_by_role("combobox", name="Provider").select_option("openai")
    expect(visit.page.locator("#tile-requests .value")).to_have_text("9")
    assert ["openai"] == query_of(told.value)["provider"]
    assert ["all", "openai-1", "openai-2"] == visit.page.get_by_role("combobox", name="Key").locator(
        "option"
    ).all_inner_texts()

    visit.page.get_by_role("combobox", name="Key").select_option("openai-2")
    expect(visit.page.locator("#tile-requests .value")).to_have_text("3")
    expect(visit.page.locator("#limits h3")).to_have_text(["openai / openai-2 ", "callers per caller"])

    with visit.page.expect_response(is_summary) as told:
        visit.page.get_by_role("radio", name="1 day").check(force=True)
    assert {"window": ["86400"], "provider": ["openai"], "key": ["openai-2"]} == query_of(told.value)

    visit.page.reload()
    expect(visit.page.locator("#tile-requests .value")).to_have_text("3")
    expect(visit.page.get_by_role("radio", name="1 day")).to_be_checked()


def test_a_wrong_token_is_refused_in_words(visit: Visit) -> None:
    """The form says so and shows nothing; the right token then opens the page, and signing out closes it."""
    assert 401 == visit.sign_in("not-the-token-at-all").status
    expect(visit.page.get_by_role("alert")).to_have_text("The token was refused.")
    expect(visit.page.locator("main")).to_be_hidden()

    visit.page.get_by_role("textbox", name="Token").fill("no header can carry ü")
    visit.page.keyboard.press("Enter")
    expect(visit.page.get_by_role("alert")).to_contain_text("ASCII")

    visit.sign_in()
    visit.page.get_by_role("button", name="Sign out").click()
    expect(visit.page.locator("main")).to_be_hidden()
    assert 0 == visit.page.evaluate("sessionStorage.length")


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_nothing_is_wider_than_the_window(width: int, open_page: Open, fill: Fill) -> None:
    """On a phone, a tablet and a desktop nothing scrolls sideways, however long a name is."""
    fill([*RECORDS, make_record("openai", "k" * 150, "model-" * 30)])
    visit = open_page(width)
    visit.page.goto(visit.url)
    assert width >= visit.page.evaluate("document.documentElement.scrollWidth")

    visit.sign_in()
    for summary in visit.page.locator("summary").all():
        summary.click()
    assert width >= visit.page.evaluate("document.documentElement.scrollWidth")


def test_light_and_dark_follow_the_system_until_the_reader_chooses(open_page: Open) -> None:
    """The page takes the system's scheme; the switch overrides it, and a reload keeps that."""
    ground = "getComputedStyle(document.body).backgroundColor"
    light, dark = open_page(color_scheme="light"), open_page(color_scheme="dark")
    light.sign_in()
    dark.sign_in()
    grounds = [light.page.evaluate(ground), dark.page.evaluate(ground)]
    assert ["rgb(244, 245, 248)", "rgb(15, 19, 26)"] == grounds

    dark.page.get_by_role("button", name="Theme: auto").click()
    dark.page.reload()
    expect(dark.page.get_by_role("button", name="Theme: light")).to_be_visible()
    assert grounds[0] == dark.page.evaluate(ground)


def test_the_keyboard_is_enough(visit: Visit) -> None:
    """Tab leads past the skip link to the ranges, an arrow changes the range, and Escape closes a table."""
    visit.sign_in()
    visit.page.reload()
    expect(visit.page.locator("main")).to_be_visible()
    visit.page.keyboard.press("Tab")
    expect(visit.page.get_by_text("Skip to the figures")).to_be_focused()
    visit.page.keyboard.press("Tab")
    expect(visit.page.get_by_role("radio", name="1 hr")).to_be_focused()
    outline = "getComputedStyle(document.activeElement.nextElementSibling).outlineStyle"
    assert "solid" == visit.page.evaluate(outline)
    with visit.page.expect_response(is_summary) as told:
        visit.page.keyboard.press("ArrowRight")
    assert ["86400"] == query_of(told.value)["window"]

    table = visit.page.locator("details").first
    table.locator("summary").focus()
    visit.page.keyboard.press("Enter")
    expect(table.locator("table")).to_be_visible()
    visit.page.keyboard.press("Tab")
    visit.page.keyboard.press("Escape")
    expect(table.locator("table")).to_be_hidden()
    expect(table.locator("summary")).to_be_focused()


def test_a_hostile_name_is_text(visit: Visit) -> None:
    """A model whose name is markup is shown as it is, in the table and among the choices, and does nothing."""
    visit.sign_in()

    expect(visit.page.locator("#by-models tbody th", has_text=HOSTILE)).to_have_count(1)
    assert HOSTILE in visit.page.get_by_role("combobox", name="Model").locator("option").all_inner_texts()
    assert 0 == visit.page.locator("img[src=x]").count()
    visit.page.get_by_role("combobox", name="Model").select_option(HOSTILE)
    expect(visit.page.locator("#tile-requests .value")).to_have_text("1")
    assert [] == visit.complaints


def test_the_limits_in_use_are_bars_with_their_figures(visit: Visit, portal: BlockingPortal, store: Flaky) -> None:
    """Each key's limits tell how much of them is used; a rule per caller tells only how much it is."""
    portal.call(use_limits, store)
    visit.sign_in()
    key = visit.page.locator("#limits article", has_text="openai / openai-1")

    expect(key.locator("li")).to_have_text(
        [re.compile("requests in 1 min.*51 of 60"), re.compile("tokens in 1 min.*172K of 200K"), re.compile("6 of 8")]
    )
    expect(key.get_by_role("meter", name="requests")).to_have_attribute("aria-valuenow", "51")
    expect(visit.page.locator("#limits article", has_text="per caller")).to_contain_text("up to 100")


def test_it_asks_again_every_few_seconds_until_it_is_paused(visit: Visit, fill: Fill) -> None:
    """New figures appear by themselves; paused it asks nothing, and goes on when it is told."""
    visit.page.clock.install()
    visit.sign_in()
    expect(visit.page.locator("#tile-requests .value")).to_have_text("11")
    fill(RECORDS)
    wait_for_requests(visit, "22")

    visit.page.get_by_role("button", name="Pause").click()
    visit.page.wait_for_load_state("networkidle")
    asked = len(visit.asked)
    visit.page.clock.run_for(60_000)
    assert asked == len(visit.asked)

    fill(RECORDS)
    visit.page.get_by_role("button", name="Go on").click()
    wait_for_requests(visit, "33")


def wait_for_requests(visit: Visit, figure: str) -> None:
    """Lets the page's clock run until the tile has the figure; the API's answers are up to a second old."""
    for _ in range(50):
        visit.page.clock.run_for(5000)
        if visit.tile("requests") == figure:
            return
        visit.page.wait_for_timeout(100)
    pytest.fail(f"requests: {visit.tile('requests')}, not {figure}")


def test_without_traffic_it_says_so(open_page: Open) -> None:
    """An empty store is zeros, dashes and words, not empty axes."""
    visit = open_page()
    visit.sign_in()

    expect(visit.page.locator("figure .empty:visible")).to_have_count(5)
    expect(visit.page.locator("#tables .empty")).to_have_count(3)
    assert ["0", "\N{EN DASH}", "$0.00"] == [visit.tile(name) for name in ("requests", "hit-ratio", "cost")]
    assert [] == visit.complaints


@pytest.mark.parametrize(
    ("mood", "status", "words"),
    [("away", 503, "The store does not answer."), ("unlisted", 501, "This store cannot list its counters")],
)
def test_a_store_that_fails_is_put_in_words(visit: Visit, store: Flaky, mood: str, status: int, words: str) -> None:
    """What the API cannot tell is said once, in a live region, and goes when the store is back."""
    store.mood = mood
    assert status == visit.sign_in().status
    expect(visit.page.get_by_role("status")).to_contain_text(words)

    store.mood = "well"
    visit.page.reload()
    expect(visit.page.locator("#tile-requests .value")).to_have_text("11")
    expect(visit.page.get_by_role("status")).to_have_text("")


def test_without_javascript_it_leads_to_the_tables(open_page: Open, fill: Fill) -> None:
    """The page links to the same figures, which the token opens as a password."""
    fill(RECORDS)
    visit = open_page(java_script_enabled=False, http_credentials={"username": "me", "password": TOKEN})
    visit.page.goto(visit.url)
    visit.page.get_by_role("link", name="tables").first.click()

    expect(visit.page.locator("body")).to_contain_text("gpt-5-mini")
    expect(visit.page.locator("body")).to_contain_text(HOSTILE)


def test_the_files_are_small_and_hold_nothing_inline() -> None:
    """Ours have at most 300 lines each, the markup no inline script or style, the scripts nothing that makes markup."""
    ours = [path for path in STATIC.iterdir() if path.suffix in (".html", ".css", ".js") and "uPlot" not in path.name]
    scripts = "".join(path.read_text() for path in ours if path.suffix == ".js")
    markup = (STATIC / "index.html").read_text()

    assert [] == [path.name for path in ours if path.read_text().count("\n") > 300]
    assert [] == re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", scripts)
    assert [] == re.findall(r"\sstyle=|\son\w+=|<style|<script(?![^>]*\ssrc=)|https?:", markup)


def test_the_library_is_the_version_that_the_page_names() -> None:
    """uPlot's own banner and our comment agree, and its licence is beside it."""
    named = re.findall(r"uPlot ([\d.]+)", (STATIC / "index.html").read_text())

    assert named == re.findall(r"uPlot \(v([\d.]+)\)", (STATIC / "uPlot.iife.min.js").read_text()[:100])
    assert "The MIT License" in (STATIC / "uPlot.LICENSE").read_text()


@pytest.mark.skipif("COO_SCREENSHOTS" not in os.environ, reason="COO_SCREENSHOTS=1 writes the pictures of the docs")
def test_the_pictures_of_the_docs(open_page: Open, portal: BlockingPortal, store: Flaky, clock: Clock) -> None:
    """An hour of traffic on a desktop, light and dark, and on a phone."""
    portal.call(live_an_hour, store, clock, time())
    for name, width, height, scheme in (
        ("light", 1440, 1000, "light"),
        ("dark", 1440, 1000, "dark"),
        ("phone", 390, 844, "light"),
    ):
        visit = open_page(width, height, color_scheme=scheme, device_scale_factor=2)
        visit.sign_in()
        expect(visit.page.locator(".uplot")).to_have_count(5)
        visit.page.screenshot(path=IMAGES / f"dashboard-{name}.png", full_page=width > 1000)

        assert [] == visit.complaints
