"""A running page -> pictures of it: python -m space.screenshots http://127.0.0.1:7860 results/screenshots.

Light and dark, desktop and phone; needs Debian's chromium and Playwright's Python package.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_builder.contract import StageError, run_command

CHROMIUM_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run",
]  # fmt: skip
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
WAIT_MS = 180_000
EXAMPLE = "Hospital nurse"


@dataclass(frozen=True)
class Picture:
    """One picture: its file name, screen, and colours."""

    name: str
    screen: dict[str, int]
    dark: bool


PICTURES = (
    Picture("desktop_light", DESKTOP, False),
    Picture("desktop_dark", DESKTOP, True),
    Picture("phone_light", PHONE, False),
    Picture("phone_dark", PHONE, True),
)


def find_chromium() -> str:
    """Path of the browser.

    Raises:
        StageError: there is none.
    """
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if not path:
        raise StageError("chromium is not installed", "apt-get install chromium")
    return path


def take_pictures(address: str, folder: Path, example: str = EXAMPLE) -> list[Path]:
    """Find the skills of an example ad on the page at `address`, and photograph it on every kind of screen."""
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    files = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_FLAGS)
        for picture in PICTURES:
            context = browser.new_context(
                viewport=picture.screen,
                color_scheme="dark" if picture.dark else "light",
                device_scale_factor=2 if picture.screen is PHONE else 1,
                reduced_motion="reduce",
            )
            page = context.new_page()
            page.set_default_timeout(WAIT_MS)
            page.goto(address, timeout=WAIT_MS)
            page.wait_for_selector("#ad textarea", timeout=WAIT_MS)
            if picture is PICTURES[0]:
                files.append(_shoot(page, folder / "start.png"))
            files.append(_shoot_results(page, folder / f"{picture.name}.png", example, picture.screen is PHONE))
            context.close()
        files += _shoot_other_tabs(browser, address, folder)
        browser.close()
    return files


def _shoot_results(page: Any, file: Path, example: str, whole: bool) -> Path:
    page.get_by_role("button", name=example).click()
    page.wait_for_selector("#results table.skills", timeout=WAIT_MS)
    page.locator("button.pick").first.click()
    page.wait_for_timeout(400)
    page.evaluate("window.scrollTo(0, 0)")
    return _shoot(page, file, whole)


def _shoot_other_tabs(browser: Any, address: str, folder: Path) -> list[Path]:
    page = browser.new_page(viewport=DESKTOP, reduced_motion="reduce")
    page.goto(address, timeout=WAIT_MS)
    page.wait_for_selector("#ad textarea", timeout=WAIT_MS)
    page.get_by_role("tab", name="One sentence").click()
    page.locator("#sentence textarea, #sentence input").first.fill("You will plan the weekly shifts of our ward.")
    page.locator("#rank").click()
    page.wait_for_selector("#ranking table", timeout=WAIT_MS)
    files = [_shoot(page, folder / "sentence.png")]
    page.get_by_role("tab", name="Compare ad and CV").click()
    page.locator("#compare-ad textarea").fill("You plan shifts and write SQL. Good German and English.")
    page.locator("#compare-cv textarea").fill("I write SQL and Python. Good English.")
    page.locator("#compare").click()
    page.wait_for_selector(".compare section", timeout=WAIT_MS)
    return [*files, _shoot(page, folder / "compare.png")]


def _shoot(page: Any, file: Path, whole: bool = False) -> Path:
    page.wait_for_timeout(300)
    page.screenshot(path=str(file), full_page=whole)
    return file


def main(arguments: Sequence[str] | None = None) -> None:
    """Take every picture and say where it lies."""
    parser = argparse.ArgumentParser(prog="python -m space.screenshots", description="Photograph a running page.")
    parser.add_argument("address", help="such as http://127.0.0.1:7860")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("results/screenshots"))
    parser.add_argument("--example", default=EXAMPLE, help="which example ad to use, as its button says")
    given = parser.parse_args(arguments)
    for file in take_pictures(given.address, given.folder, given.example):
        print(file)


if __name__ == "__main__":
    sys.exit(run_command(main))
