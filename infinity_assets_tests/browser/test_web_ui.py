"""The real web UI in a real browser, on the data of the end-to-end run: pages, and a click that materializes."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page, expect, sync_playwright

from infinity_assets_tests.project import PROJECT, Project

pytestmark = pytest.mark.graph

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE = 90_000
"""Timeout in milliseconds: the page polls, and two cores may be busy."""


@pytest.fixture(scope="module")
def url(project: Project) -> Iterator[str]:
    """The URL of `dagster dev` on the data of the end-to-end run."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**project.environment(), "DAGSTER_HOME": str(project.data)}
    dagster = str(Path(sys.executable).with_name("dagster"))
    process = subprocess.Popen(
        [dagster, "dev", "--host", "127.0.0.1", "--port", str(port)],
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # SIGINT stops `dagster dev`, but a child of a script ignores it. A session and the default handler restore it.
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            try:
                if requests.get(f"{address}/server_info", timeout=2).ok:
                    break
            except requests.ConnectionError:
                time.sleep(1)
        else:
            pytest.fail("dagster dev did not answer within two minutes")
        yield address
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    if not CHROMIUM:
        pytest.fail("the browser test needs chromium: sudo apt-get install chromium")
    with sync_playwright() as playwright:
        quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=quiet)
        page = browser.new_page(viewport={"width": 1500, "height": 1600})
        page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        yield page
        browser.close()


def test_the_lineage_shows_the_groups(page: Page, url: str) -> None:
    page.goto(f"{url}/asset-groups")
    for group in ("ingest", "curate", "score", "foundation", "chat", "release"):
        expect(page.get_by_text(group, exact=True).first).to_be_visible()


def test_an_asset_page_shows_rows_decisions_and_a_chart(page: Page, url: str, project: Project) -> None:
    rows = project.lake.manifest("inf_instruct_f")
    assert rows
    page.goto(f"{url}/assets/inf_instruct_f?view=events")
    expect(page.get_by_text("near_duplicate").first).to_be_visible()
    expect(page.get_by_text("seed_replay").first).to_be_visible()
    expect(page.get_by_text(str(rows.rows_out), exact=True).first).to_be_visible()
    chart = page.locator("img[src^='data:image/svg+xml']").first
    expect(chart).to_be_visible()
    assert chart.evaluate("image => image.complete && image.naturalWidth > 0"), "the chart is drawn, not a broken image"


def test_the_checks_of_an_asset_are_green(page: Page, url: str) -> None:
    page.goto(f"{url}/assets/inf_instruct_g?view=checks")
    for check in ("conservation", "clean", "lineage", "licence"):
        expect(page.get_by_text(check, exact=True).first).to_be_visible()


def test_a_click_materializes_an_asset(page: Page, url: str) -> None:
    events = f"{url}/assets/tag_vocabulary?view=events"
    page.goto(events)
    expect(page.get_by_text("labels used once").first).to_be_visible()
    before = set(_runs(page))
    page.locator("button", has_text="Materialize").first.click()
    deadline = time.monotonic() + PATIENCE / 1000
    while not set(_runs(page)) - before:
        assert time.monotonic() < deadline, "the click led to no materialization"
        page.wait_for_timeout(2000)
        page.goto(events)
        expect(page.get_by_text("labels used once").first).to_be_visible()
    expect(page.get_by_text("Materialized in run").first).to_be_visible()


def _runs(page: Page) -> list[str]:
    """Return the runs whose materialization the page shows; a run in progress has no link with a time."""
    links = page.locator("a[href*='/runs/'][href*='focusedTime']")
    return [href for href in (link.get_attribute("href") for link in links.all()) if href]
