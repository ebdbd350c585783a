"""The page as a person sees it, in Debian's chromium."""

import csv
import io
import json

import pytest

from tests.browser_page import AD, find, names
from tests.test_documents import docx, paragraph, pdf
from tests.tiny_finder import SKILLS

pytestmark = pytest.mark.browser
EVIL = 'You bake bread <img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'


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
    page.locator("mark", has_text="SQL").click()
    assert page.locator("tr.chosen, .chosen, [aria-pressed=true]").count() == 0
    assert page.problems == []
    assert page.elsewhere == []


def test_a_place_that_shares_a_skill_is_released_only_when_it_is_chosen(page):
    """ "Bake bread in SQL CSS" shows the bread; SQL and CSS within it show that and themselves."""
    find(page, "Bake bread in SQL CSS")
    chosen = page.locator("tr.chosen button.pick")
    for word in ("SQL", "CSS"):
        page.locator("mark", has_text=word).click()
        assert set(chosen.all_inner_texts()) == {"bake bread in ovens", word}
    page.locator("mark", has_text="CSS").click()
    assert page.locator(".chosen, [aria-pressed=true]").count() == 0
    page.locator("button.pick", has_text="bake bread in ovens").click()
    page.locator("mark", has_text="SQL").click()
    assert set(chosen.all_inner_texts()) == {"bake bread in ovens", "SQL"}
    assert page.problems == []


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
    said = "1 skill in both, 1 not in the CV, 0 only in the CV."
    assert page.locator("#comparison [role=status]").inner_text() == said
    page.get_by_role("tab", name="One sentence").click()
    page.fill("#sentence textarea", "bread")
    page.click("#rank")
    page.wait_for_selector("#ranking table.skills")
    assert page.locator("#ranking [role=status]").inner_text() == f"{len(SKILLS)} skills, nearest first."
    assert page.locator("#ranking td.name").first.inner_text() == "bake bread in ovens"
    # Its rows have the numbers of another text's skills: there is nothing to choose that could light those up.
    assert page.locator("#ranking button").count() == 0


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
