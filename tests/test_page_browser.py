"""The page as a person sees it, in Debian's chromium."""

import csv
import io
import json
import re

import pytest

from page_service import PageService
from space.screenshots import CHROMIUM_FLAGS, DESKTOP, PHONE
from tests.running_page import running_page
from tests.test_documents import docx, paragraph, pdf
from tests.tiny_finder import tiny_finder

pytestmark = pytest.mark.browser
WAIT_MS = 180_000
AD = "About us\nWe are a bakery.\n\nYour tasks\n- You bake bread\n- You plan shifts of employees\n- You know SQL\n"
EVIL = 'You bake bread <img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'


@pytest.fixture(scope="module")
def browser():
    import shutil

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
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        with running_page(PageService(tiny_finder(), version="tiny")) as (address, _):
            yield address


@pytest.fixture
def page(browser, address):
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


def test_paste_highlight_and_click(page):
    find(page, AD)
    assert names(page)[0] == "SQL"
    assert set(names(page)) == {"SQL", "bake bread in ovens", "plan shifts of employees"}
    assert set(page.locator("#marked mark").all_inner_texts()) == {"You bake bread", "plan shifts of employees", "SQL"}
    assert page.locator("#marked .ad-text").inner_text().strip() == AD.strip()
    button = page.get_by_role("button", name="bake bread in ovens")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    assert page.locator("mark.chosen").all_inner_texts() == ["You bake bread"]
    page.locator("mark", has_text="SQL").click()
    assert page.locator("tr.chosen button.pick").all_inner_texts() == ["SQL"]
    assert page.problems == []
    assert page.elsewhere == []


def test_links_lead_to_esco(page):
    find(page, AD)
    link = page.locator("#results td.link a").first
    assert link.get_attribute("href") == "http://data.europa.eu/esco/skill/sql"
    assert link.get_attribute("rel") == "noopener noreferrer"


def test_nothing_is_an_answer_and_no_text_a_hint(page):
    page.click("#find")
    page.wait_for_selector(".message.problem")
    assert "Paste a text first" in page.locator("#results").inner_text()
    page.fill("#ad textarea", "We are a family business.")
    page.click("#find")
    page.wait_for_selector("text=No skills found")


def test_edit_brings_the_text_back(page):
    find(page, AD)
    page.click("#edit")
    page.wait_for_function("ad => document.querySelector('#ad textarea')?.value === ad", arg=AD)


def test_the_slider_makes_the_list_shorter(page):
    find(page, AD)
    page.get_by_text("Settings").first.click()
    slider = page.locator("#threshold input[type=range]")
    slider.wait_for()
    slider.focus()
    slider.press("End")
    page.wait_for_function("document.querySelectorAll('#results button.pick').length === 2")
    assert names(page) == ["SQL", "plan shifts of employees"]


def test_group_by_area(page):
    find(page, AD)
    page.get_by_text("Settings").first.click()
    page.locator("#grouped input").check()
    page.wait_for_selector("#results tr.group")
    assert page.locator("#results tr.group").count() == 3


@pytest.mark.parametrize(("button", "name"), [("#download-csv", "skills.csv"), ("#download-json", "skills.json")])
def test_downloads(page, button, name):
    find(page, AD)
    with page.expect_download() as download:
        page.click(button)
    assert download.value.suggested_filename == name
    text = download.value.path().read_text(encoding="utf-8-sig")
    if name.endswith("csv"):
        labels = [row["skill"] for row in csv.DictReader(io.StringIO(text))]
    else:
        labels = [skill["label"] for skill in json.loads(text)["skills"]]
    assert labels == names(page)


@pytest.mark.parametrize(
    ("name", "data"),
    [("ad.txt", b"You bake bread"), ("ad.docx", docx(paragraph("You bake bread"))), ("ad.pdf", pdf("You bake bread"))],
)
def test_files_are_opened(page, name, data):
    with page.expect_file_chooser() as chooser:
        page.click("#open-file")
    chooser.value.set_files({"name": name, "mimeType": "application/octet-stream", "buffer": data})
    page.wait_for_function("document.querySelector('#ad textarea').value.includes('You bake bread')")
    page.click("#find")
    page.wait_for_selector("#results table.skills")
    assert names(page) == ["bake bread in ovens"]


def test_a_bad_file_is_refused_in_words(page):
    with page.expect_file_chooser() as chooser:
        page.click("#open-file")
    chooser.value.set_files({"name": "ad.pdf", "mimeType": "application/pdf", "buffer": b"no pdf"})
    page.wait_for_selector("text=not a real PDF")


def test_a_hostile_ad_is_shown_and_not_run(page):
    find(page, EVIL)
    assert page.locator("#marked .ad-text").inner_text() == EVIL
    assert page.locator("#marked img").count() == 0
    page.wait_for_timeout(200)
    assert page.evaluate("window.hacked") is None


def test_own_list_with_markup_in_it(page):
    page.get_by_role("tab", name="Your own skills").click()
    data = b'id,label\n"javascript:alert(1)","juggle <img src=x onerror=window.hacked=1>"\n'
    with page.expect_file_chooser() as chooser:
        page.click("#open-list")
    chooser.value.set_files({"name": "list.csv", "mimeType": "text/csv", "buffer": data})
    page.wait_for_selector("text=1 skills are ready")
    page.fill("#own-text textarea", "You juggle img src x onerror")
    page.click("#own-find")
    page.wait_for_selector("#own-results table.skills")
    assert page.locator("#own-results button.pick").inner_text() == "juggle <img src=x onerror=window.hacked=1>"
    assert page.locator("#own-results a").count() == 0
    assert page.evaluate("window.hacked") is None


def test_compare_and_one_sentence(page):
    page.get_by_role("tab", name="Compare ad and CV").click()
    page.fill("#compare-ad textarea", "SQL. You bake bread.")
    page.fill("#compare-cv textarea", "I know SQL.")
    page.click("#compare")
    page.wait_for_selector("#comparison section.missing")
    assert "bake bread in ovens" in page.locator("section.missing").inner_text()
    assert "SQL" in page.locator("section.common").inner_text()
    page.get_by_role("tab", name="One sentence").click()
    page.fill("#sentence textarea", "bread")
    page.click("#rank")
    page.wait_for_selector("#ranking table.skills")
    assert page.locator("#ranking td.name").first.inner_text() == "bake bread in ovens"
    # Its rows have the numbers of another text's skills: there is nothing to choose that could light those up.
    assert page.locator("#ranking button").count() == 0


def contrast(page, selector: str) -> float:
    """WCAG contrast of an element's text: (lighter + 0.05) / (darker + 0.05) of relative luminances."""
    inks = page.evaluate(
        """selector => {
            const node = document.querySelector(selector);
            let ground = node;
            const isClear = one => getComputedStyle(one).backgroundColor === "rgba(0, 0, 0, 0)";
            while (isClear(ground) && ground.parentElement) ground = ground.parentElement;
            return [getComputedStyle(node).color, getComputedStyle(ground).backgroundColor];
        }""",
        selector,
    )

    def luminance(color: str) -> float:
        parts = [int(float(value)) / 255 for value in re.findall(r"[\d.]+", color)[:3]]
        linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted(map(luminance, inks))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_schemes(browser, address, scheme):
    context = browser.new_context(viewport=DESKTOP, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(address)
    page.wait_for_selector("#ad textarea")
    find(page, AD)
    selectors = [
        "#find",
        "#marked mark",
        ".badge",
        ".masthead p",
        "button.pick",
        "td.link a",
        ".number",
        "#marked .ad-text",
    ]
    weak = {selector: round(contrast(page, selector), 2) for selector in selectors if contrast(page, selector) < 4.5}
    context.close()
    assert weak == {}


def test_the_switch_turns_the_page_dark(page):
    before = page.evaluate("document.body.classList.contains('dark')")
    page.click("#theme-switch")
    assert page.evaluate("document.body.classList.contains('dark')") is not before


def test_a_phone_shows_it_all_without_scrolling_sideways(browser, address):
    context = browser.new_context(viewport=PHONE, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(address)
    page.wait_for_selector("#ad textarea")
    find(page, AD)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.locator("#results button.pick").first.bounding_box()["width"] <= PHONE["width"]
    context.close()


def test_the_keyboard_is_enough_and_controls_have_names(page):
    find(page, AD)
    button = page.locator("button.pick").first
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-pressed") == "true"
    assert page.locator("#marked [aria-live]").inner_text() == "Shown at 1 place of your text."
    mark = page.locator("mark", has_text="You bake bread")
    mark.focus()
    page.keyboard.press("Enter")
    assert page.locator("tr.chosen button.pick").all_inner_texts() == ["bake bread in ovens"]
    assert mark.get_attribute("aria-pressed") == "true"
    # What had the focus is gone; a keyboard goes on with what came in its place.
    page.locator("#edit").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement === document.querySelector('#ad textarea')")
    unnamed = page.evaluate(
        """[...document.querySelectorAll("button, input, textarea, a[href]")].filter(node =>
            node.offsetParent !== null && !(node.innerText || "").trim() && !node.getAttribute("aria-label") &&
            !node.title && !(node.labels && [...node.labels].some(label => label.innerText.trim()))
            && node.type !== "file").map(node => node.outerHTML.slice(0, 120))"""
    )
    assert unnamed == []
    assert page.evaluate("document.documentElement.lang") == "en"


def test_nothing_stays_in_the_browser(page):
    find(page, "You bake bread.\nxyzzy-private-words")
    stored = page.evaluate("JSON.stringify([Object.entries(localStorage), Object.entries(sessionStorage)])")
    databases = page.evaluate("indexedDB.databases ? indexedDB.databases().then(all => all.map(one => one.name)) : []")
    assert "xyzzy" not in stored
    assert databases == []
    assert "xyzzy" not in page.url


def test_a_new_file_takes_the_old_skills_away(page):
    find(page, AD)
    page.click("#edit")
    with page.expect_file_chooser() as chooser:
        page.click("#open-file")
    chooser.value.set_files({"name": "cv.txt", "mimeType": "text/plain", "buffer": b"I sell shoes."})
    page.wait_for_function("document.querySelector('#ad textarea').value.includes('shoes')")
    page.wait_for_selector("#downloads", state="hidden")
    assert page.locator("#results button.pick").count() == 0
