"""The page in Debian's chromium, with the tiny finder behind it: fixtures, and what its tests do with it."""

import shutil

import pytest

WAIT_MS = 180_000
AD = "About us\nWe are a bakery.\n\nYour tasks\n- You bake bread\n- You plan shifts of employees\n- You know SQL\n"


@pytest.fixture(scope="module")
def browser():
    from space.screenshots import CHROMIUM_FLAGS

    playwright = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if not path:
        pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    from page_service import PageService
    from tests.running_page import running_page
    from tests.tiny_finder import tiny_finder

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        with running_page(PageService(tiny_finder(), version="tiny")) as (address, _):
            yield address


@pytest.fixture
def page(browser, address):
    from space.screenshots import DESKTOP

    context = browser.new_context(viewport=DESKTOP, reduced_motion="reduce", accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.elsewhere = []
    page.on(
        "request",
        lambda request: (
            None if request.url.startswith((address, "data:", "blob:")) else page.elsewhere.append(request.url)
        ),
    )
    page.goto(address)
    page.wait_for_selector("#ad textarea")
    yield page
    context.close()


def find(page, text: str) -> None:
    page.fill("#ad textarea", text)
    page.click("#find")
    page.wait_for_selector("#results table.skills")
    page.wait_for_selector("#marked .ad-text")


def names(page) -> list[str]:
    return page.locator("#results button.pick").all_inner_texts()
