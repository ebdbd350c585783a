"""Settings, examples, table and the stock model's note of a page over 25 skills, in Debian's chromium."""

import pytest

import page_model
from page_service import PageService
from skill_index import Skill
from tests.browser_page import AD, find, names
from tests.running_page import running_page
from tests.tiny_finder import SKILLS, tiny_finder

pytestmark = pytest.mark.browser
MORE = tuple(Skill(f"more{number}", f"bread {number}", (), "competence") for number in range(25 - len(SKILLS)))


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        with running_page(PageService(tiny_finder(SKILLS + MORE), note=page_model.STOCK_NOTE)) as (address, _):
            yield address


def open_settings(page) -> None:
    page.get_by_text("Settings").first.click()
    page.wait_for_selector("#number input[type=range]")


def press(page, key: str, value: int) -> None:
    """Press a key on the slider until it stands at a value: while the settings are still opening, a key may be lost."""
    slider = page.locator("#number input[type=range]")
    for _ in range(5):
        slider.press(key)
        if slider.input_value() == str(value):
            return
        page.wait_for_timeout(500)
    pytest.fail(f"{key} does not move the slider to {value}, it stands at {slider.input_value()}")


def test_the_number_of_skills_is_kept_to(page):
    find(page, AD)
    assert len(names(page)) == 3
    open_settings(page)
    press(page, "Home", 1)
    page.wait_for_function("document.querySelectorAll('#results button.pick').length === 1")
    assert names(page) == ["SQL"]
    press(page, "ArrowRight", 2)
    page.wait_for_function("document.querySelectorAll('#results button.pick').length === 2")


def test_the_number_beside_a_slider_is_what_is_searched_with(page, capfd):
    """Half of a number typed there, or none, would be under the least value, or no number."""
    find(page, AD)
    open_settings(page)
    for setting, value in (("#threshold", "0.5"), ("#number", "40")):
        box = page.locator(f"{setting} input[type=number]")
        box.click()
        for key in ("Control+A", "Delete", "0", ".", "ArrowUp"):
            page.keyboard.press(key)
        assert box.input_value() == page.locator(f"{setting} input[type=range]").input_value() == value
    page.wait_for_timeout(1000)
    assert page.locator(".toast-body").count() == 0
    assert len(names(page)) == 3
    assert "Traceback" not in capfd.readouterr().err


def test_near_duplicates_are_shown_on_request(page):
    find(page, AD)
    assert page.locator("#results .similar").all_inner_texts() == ["also covers: plan shifts of staff employees"]
    open_settings(page)
    page.locator("#merge input").uncheck()
    page.wait_for_function("document.querySelectorAll('#results button.pick').length > 3")
    assert {"plan shifts of employees", "plan shifts of staff employees"} <= set(names(page))
    assert page.locator("#results .similar").count() == 0


def test_an_example_is_read_at_once(page):
    page.get_by_role("button", name="Software backend developer").click()
    page.wait_for_selector("#results table.skills")
    assert "SQL" in names(page)
    assert "SQL" in page.locator("#marked mark").all_inner_texts()


def test_type_and_score_of_each_skill(page):
    """ "You bake bread" shares 2 words with "bake bread in ovens": cosine 2 / sqrt(3 x 4) = 0.58."""
    find(page, AD)
    rows = page.locator("#results tr[data-skill]")
    cells = {
        row.locator("button.pick").inner_text(): (
            row.locator("td.type").inner_text(),
            row.locator("td.score").inner_text().strip(),
            row.locator(".bar i").get_attribute("style"),
        )
        for row in rows.all()
    }
    assert cells["bake bread in ovens"] == ("Skill", "0.58", "width:58%")
    assert cells["SQL"] == ("Knowledge", "0.95", "width:95%")


def test_one_sentence_has_twenty_of_a_longer_list(page):
    page.get_by_role("tab", name="One sentence").click()
    page.fill("#sentence textarea", "bread")
    page.click("#rank")
    page.wait_for_selector("#ranking table.skills")
    assert page.locator("#ranking tr[data-skill]").count() == 20


def test_a_page_without_a_released_model_says_so(page):
    note = page.get_by_role("note")
    assert note.inner_text() == page_model.STOCK_NOTE
    assert note.is_visible()
