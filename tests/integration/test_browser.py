"""What a person sees of a study who opens `raydd ui` in a browser: a real Chromium before a real MLflow UI.

RAYDD_SCREENSHOTS names a folder for the pictures, which are otherwise thrown away.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the path"),
]

SECONDS = 60_000  # milliseconds, for a page on a busy machine
ASSISTANT = "[data-component-id='mlflow.assistant.chat_panel.close']"


@pytest.fixture(scope="module")
def ui(finished, command):
    """The study, the UI's address, the experiment and the parent run."""
    study, _ = finished
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ("ui", study.name, "--home", str(study.home), "--no-browser", "--port", str(port))
    process = subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, text=True, start_new_session=True)
    address = process.stdout.readline().strip()
    base, experiment, parent = re.fullmatch(
        r"(http://[^/]+)/#/experiments/(\d+)/runs/(\w+)", address
    ).groups()
    yield study, base, experiment, parent
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield opened
        opened.close()


@pytest.fixture
def page(browser, ui):
    """An empty page; at the end no request may have left this machine."""
    _, base, _, _ = ui
    context = browser.new_context(viewport={"width": 1400, "height": 850})
    context.set_default_timeout(SECONDS)
    asked = []
    context.on("request", lambda request: asked.append(request.url))
    yield context.new_page()
    context.close()
    assert asked
    assert [url for url in asked if not url.startswith((base, "data:", "blob:"))] == []


@pytest.fixture
def shot(tmp_path):
    """`shot(page, name)`: a picture of what is seen."""
    folder = Path(os.environ.get("RAYDD_SCREENSHOTS", tmp_path))

    def take(page, name):
        if page.locator(ASSISTANT).count():
            page.locator(ASSISTANT).first.click()
        page.wait_for_timeout(1000)  # charts and panels move into their places
        page.screenshot(path=folder / f"{name}.png")
        return folder / f"{name}.png"

    return take


def names(page):
    """Run names of the table from top to bottom."""
    links = page.locator("[role=row] a[href*='/runs/']").all()
    placed = [(link.bounding_box(), link.inner_text().strip()) for link in links]
    return [name for box, name in sorted((box["y"], name) for box, name in placed if box is not None)]


def follow(page, link):
    """The page that a link of the description opens."""
    with page.context.expect_page() as opened:
        page.get_by_role("link", name=link).click()
    return opened.value


def open_parent(page, ui):
    _, base, experiment, parent = ui
    page.goto(f"{base}/#/experiments/{experiment}/runs/{parent}")
    page.get_by_text("Confirmed:").first.wait_for()


def test_the_parent_run_says_what_was_confirmed_before_anything_else(page, ui, shot):
    study, report = ui[0], ui[0].report()
    open_parent(page, ui)
    winner = report["arms"][0]
    assert page.get_by_text(f"Confirmed: {100 * winner['mean']:.1f} %").first.is_visible()
    assert page.get_by_text("search/val_accuracy").first.is_visible()
    shot(page, "parent")
    page.get_by_text("Show more").first.click()
    page.get_by_role("cell", name="randomly chosen real images").first.wait_for()
    assert page.get_by_text(f"raydd get {study.name}/best").first.is_visible()
    shot(page, "parent-description")


def test_trials_are_folded_below_their_study(page, ui, shot):
    study, base, experiment, _ = ui
    page.goto(f"{base}/#/experiments/{experiment}/runs")
    page.get_by_role("link", name=study.name, exact=True).wait_for()
    assert names(page) == [study.name]
    page.locator("[role=row] button:visible").first.click()
    page.get_by_role("link", name="0", exact=True).wait_for()
    assert names(page) == [study.name, "3", "2", "1", "0"]
    shot(page, "nested")


def test_the_description_leads_to_the_trials_sorted_by_the_primary_metric(page, ui, shot):
    study = ui[0]
    open_parent(page, ui)
    table = follow(page, "Trials, best first")
    table.get_by_role("link", name="0", exact=True).wait_for()
    *trials, last = names(table)
    accuracies = [study.trial(int(name)).val_accuracy for name in trials]
    assert len(accuracies) == 4
    assert accuracies == sorted(accuracies, reverse=True)
    assert last == study.name  # it has no accuracy of its own
    assert table.get_by_text("Sort: val_accuracy").is_visible()
    shot(table, "sorted")


def test_the_description_leads_to_all_trials_in_parallel_coordinates(page, ui, shot):
    open_parent(page, ui)
    compared = follow(page, "all side by side")
    plot = compared.locator(".js-plotly-plot .parcoords").first
    plot.wait_for()
    assert compared.get_by_text("Comparing 4 Runs from 1 Experiment").is_visible()
    axes = compared.locator(".js-plotly-plot .axis-title").all_text_contents()
    assert "val_accuracy" in axes
    assert "lambda_cc" in axes
    shot(compared, "compare")


def test_the_pictures_of_a_trial_and_of_the_best_ones_are_seen_below_its_artifacts(page, ui, shot):
    study, base, experiment, parent = ui
    runs = {"contact_sheet.png": (parent, study.folder / "contact_sheet.png")}
    child = study.links()["trials"]["1"]
    runs["distilled/grid.png"] = (child, study.trial_folder(1) / "grid.png")
    runs["previews/000000.png"] = (child, study.trial_files(1).previews()[0])
    for path, (run, file) in runs.items():
        page.goto(f"{base}/#/experiments/{experiment}/runs/{run}/artifacts/{path}")
        width, height = Image.open(file).size
        page.wait_for_function(
            "size => [...document.images].some(i => i.naturalWidth === size[0] && i.naturalHeight === size[1])",
            arg=[width, height],
        )
        picture = np.asarray(Image.open(shot(page, path.replace("/", "-"))).convert("L"))
        assert (picture < 40).sum() > 2000  # digits are white on black, the page is not


def test_a_trial_shows_its_losses_against_its_iterations(page, ui, shot):
    study, base, experiment, _ = ui
    child = study.links()["trials"]["1"]
    page.goto(f"{base}/#/experiments/{experiment}/runs/{child}/model-metrics")
    page.locator(".js-plotly-plot").first.wait_for()
    assert page.locator(".js-plotly-plot").count() >= 3
    terms = [name.removeprefix("loss/") for name in study.history(1)[-1] if name.startswith("loss/")]
    assert "total" in terms
    for term in terms:
        page.get_by_text(term, exact=True).first.wait_for()
    shot(page, "metrics")
