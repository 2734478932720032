"""The page in a real browser: upload, score, compare, by keyboard, at two widths."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.service.conftest import Running

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.slow
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on the PATH; install one to test the page")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_two_clips_are_scored_and_compared(
    width: int, browser: object, running: Running, tmp_path: Path
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})  # type: ignore[attr-defined]
    errors: list[str] = []
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: errors.append(str(e)))
    page.goto(running.url)
    page.get_by_text("Model: dae_mt on small3d").wait_for()
    names = ["0.mp4", "1.mp4"]
    page.locator("#file").set_input_files([running.clips / name for name in names])
    page.get_by_label("Difficulty").fill("3.0")
    page.get_by_label("Difficulty").press("Enter")  # by keyboard
    page.locator("article", has_text="0.mp4").wait_for()
    page.get_by_role("button", name="Score", exact=True).click()
    page.locator("article", has_text="1.mp4").wait_for()
    for seed, name in enumerate(names):
        score = running.scorer.score(running.clips / f"{seed}.mp4", difficulty=3.0)
        card = page.locator("article", has_text=name)
        assert card.locator(".points").inner_text() == f"{score.mu:.1f}"
        assert card.locator(".strip img").count() == 11
        assert card.locator("svg .answer").count() == 1
    fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert page.evaluate(fits)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as CSV").click()
    table = Path(download.value.path()).read_text(encoding="utf-8")
    assert [row["name"] for row in csv.DictReader(io.StringIO(table))] == names
    page.get_by_role("button", name="Remove 0.mp4").click()
    assert page.locator("article").count() == 1
    assert errors == []
    page.close()


def test_what_is_wrong_is_said(browser: object, running: Running, tmp_path: Path) -> None:
    page = browser.new_page()  # type: ignore[attr-defined]
    page.goto(running.url)
    page.get_by_text("Model: dae_mt").wait_for()
    (tmp_path / "text.mp4").write_text("no video")
    page.locator("#file").set_input_files(tmp_path / "text.mp4")
    page.get_by_label("Difficulty").fill("3")
    page.get_by_role("button", name="Score", exact=True).click()
    page.get_by_role("alert").get_by_text("text.mp4: cannot be opened as a video").wait_for()
    page.close()
