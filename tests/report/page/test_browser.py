"""The report of 200 trials in a real browser: drawn without an error and without a request, sorted, in the dark."""

import shutil
import time

import pytest

from raydd.report.page import write_comparison, write_report

pytestmark = pytest.mark.integration

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
SECONDS = 60  # a machine that does other work beside it; what it took is printed


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def report(large, tmp_path_factory):
    return write_report(large, tmp_path_factory.mktemp("report"))[0]


class Opened:
    """A page with what it asked for and what it complained of."""

    def __init__(self, browser, path, **context):
        self.page = browser.new_context(**context).new_page()
        self.said, self.requests = [], []
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        self.page.on("request", lambda request: self.requests.append(request.url))
        begun = time.perf_counter()
        self.page.goto(path.as_uri(), wait_until="domcontentloaded")
        self.loaded = time.perf_counter() - begun
        self.page.wait_for_selector("html[data-drawn]", state="attached", timeout=1000 * SECONDS)
        self.drawn = time.perf_counter() - begun

    def column(self, title):
        """Cells of the table of trials, as they stand."""
        titles = self.page.locator("#trials thead th").all_inner_texts()
        place = [text.strip() for text in titles].index(title)
        return self.page.locator(f"#trials tbody td:nth-child({place + 1})").all_inner_texts()


def test_the_report_is_drawn_without_a_complaint_and_without_asking_anybody(browser, report, tmp_path):
    opened = Opened(browser, report, viewport={"width": 1250, "height": 900})
    print(
        f"\n200 trials, {report.stat().st_size / 1e6:.1f} MB: loaded after {opened.loaded:.2f} s, all figures drawn "
        f"after {opened.drawn:.2f} s"
    )
    again = Opened(browser, report, viewport={"width": 1250, "height": 900})
    print(f"opened again: loaded after {again.loaded:.2f} s, drawn after {again.drawn:.2f} s")
    assert opened.said == []
    assert opened.requests == [report.as_uri()]
    plots = opened.page.locator(".plot")
    assert plots.count() == 12
    for number in range(plots.count()):
        assert plots.nth(number).locator(".main-svg").count() > 0
    assert opened.page.locator("#trials tbody tr").count() == 200
    opened.page.screenshot(path=tmp_path / "report.png", full_page=True)
    assert (tmp_path / "report.png").stat().st_size > 100_000


def test_a_click_on_a_title_sorts_numbers_as_numbers_and_what_has_none_comes_last(browser, report, large):
    opened = Opened(browser, report)
    seconds = opened.page.get_by_role("button", name="seconds")
    seconds.click()
    found = [float(text) for text in opened.column("seconds")]
    assert found == sorted(found)
    seconds.click()
    assert [float(text) for text in opened.column("seconds")] == sorted(found, reverse=True)
    complete = sum(trial.outcome == "complete" for trial in large.trials())
    for _ in range(2):  # rising and falling
        opened.page.get_by_role("button", name="rank").click()
        ranks = opened.column("rank")
        assert ranks[complete:] == ["-"] * (200 - complete)
        assert "-" not in ranks[:complete]
    assert ranks[:complete] == [str(rank) for rank in range(complete, 0, -1)]
    assert opened.said == []


def test_the_mouse_tells_the_trial_in_a_slice(browser, report):
    opened = Opened(browser, report)
    mark = opened.page.locator('#figure-slices [data-t="0"]').first
    mark.scroll_into_view_if_needed()
    mark.hover(force=True)
    tip = opened.page.locator("#tip")
    assert tip.is_visible()
    assert "trial 0: complete, default" in tip.inner_text()


def test_it_is_dark_where_the_reader_wants_it_dark_and_nothing_is_wider_than_a_phone(browser, report):
    opened = Opened(browser, report, viewport={"width": 390, "height": 800}, color_scheme="dark")

    def colours():
        body = "getComputedStyle(document.body).backgroundColor"
        plot = "document.querySelector('#plot-history').layout.template.layout.font.color"
        return opened.page.evaluate(f"[{body}, {plot}]")

    assert colours() == ["rgb(20, 24, 28)", "#e6eaed"]
    opened.page.emulate_media(color_scheme="light")
    opened.page.wait_for_timeout(500)
    assert colours() == ["rgb(255, 255, 255)", "#1b1f24"]
    assert opened.page.evaluate("document.documentElement.scrollWidth") == 390
    assert opened.said == []


def test_the_report_prints(browser, report):
    opened = Opened(browser, report, color_scheme="dark")
    assert len(opened.page.pdf(format="A4")) > 100_000
    assert opened.said == []


def test_a_comparison_is_drawn_as_well(browser, large, first, tmp_path):
    opened = Opened(browser, write_comparison([large, first], tmp_path)[0])
    assert opened.said == []
    assert opened.page.locator("#figure-best-of-n-hard .main-svg").count() > 0
