"""Whether the page can be read and used: contrast in both schemes, a phone's width, the keyboard alone."""

import re

import pytest

from space.screenshots import DESKTOP, PHONE
from tests.browser_page import AD, WAIT_MS, find

pytestmark = pytest.mark.browser


def contrast(page, selector: str, ink: str = "color") -> float:
    """WCAG contrast of an element's text: (lighter + 0.05) / (darker + 0.05) of relative luminances.

    `ink` names what else may be seen: its outline, against what lies around it.
    """
    inks = page.evaluate(
        """([selector, property]) => {
            const [place, pseudo] = selector.split("::");
            const node = document.querySelector(place);
            let ground = property === "color" ? node : node.parentElement;
            const isClear = one => getComputedStyle(one).backgroundColor === "rgba(0, 0, 0, 0)";
            while (isClear(ground) && ground.parentElement) ground = ground.parentElement;
            const ink = getComputedStyle(node, pseudo ? "::" + pseudo : null)[property];
            return [ink, getComputedStyle(ground).backgroundColor];
        }""",
        [selector, ink],
    )

    def luminance(color: str) -> float:
        parts = [int(float(value)) / 255 for value in re.findall(r"[\d.]+", color)[:3]]
        linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted(map(luminance, inks))
    return (high + 0.05) / (low + 0.05)


def weak_ones(page, selectors: list[str]) -> dict[str, float]:
    ratios = {selector: round(contrast(page, selector), 2) for selector in selectors}
    return {selector: ratio for selector, ratio in ratios.items() if ratio < 4.5}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_schemes(browser, address, scheme):
    context = browser.new_context(viewport=DESKTOP, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(address)
    page.wait_for_selector("#ad textarea")
    at_first = ["#ad textarea::placeholder", ".message p", ".message strong", ".try", ".colophon", "#open-file"]
    weak = weak_ones(page, at_first)
    find(page, AD)
    page.get_by_role("button", name="bake bread in ovens").click()
    page.get_by_text("Settings").first.click()
    page.wait_for_selector("#threshold input[type=range]")
    selectors = [
        "#threshold [data-testid=block-info]",
        "#threshold .info-text",
        "#threshold .min_value",
        "#threshold input[type=number]",
        "#merge label span",
        "#find",
        "#marked mark.skill:not(.chosen)",
        "#marked mark.knowledge",
        "#marked mark.chosen",
        ".badge.skill",
        ".badge.knowledge",
        ".similar",
        ".summary span",
        "button[role=tab][aria-selected=true]",
        "button[role=tab][aria-selected=false]",
        ".masthead p",
        "button.pick",
        "td.link a",
        ".number",
        "#marked .ad-text",
    ]
    weak |= weak_ones(page, selectors)
    ring = {}
    for selector in ("button.pick", "#marked .ad-text", "#theme-switch", "td.link a"):
        page.keyboard.press("Tab")  # a ring is for who uses the keyboard
        page.locator(selector).first.focus()
        is_drawn = page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        ring[selector] = contrast(page, selector, "outlineColor") if is_drawn else 1.0
    page.get_by_role("tab", name="Compare ad and CV").click()
    page.fill("#compare-ad textarea", "SQL. You bake bread.")
    page.fill("#compare-cv textarea", "I know SQL.")
    page.click("#compare")
    page.wait_for_selector("#comparison section.missing")
    weak |= weak_ones(page, [".compare h3", ".compare h3 span", ".compare li span", ".compare a", ".compare section p"])
    context.close()
    assert weak == {}
    assert {selector: ratio for selector, ratio in ring.items() if ratio < 3} == {}


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
    # Out of sight, the headers are there for those who listen; a number in sight says what it is.
    headers = page.locator("#results thead th")
    assert [headers.nth(i).is_visible() for i in range(4)] == [True] * 4
    assert page.locator("#results thead").bounding_box()["width"] <= 1
    said = "getComputedStyle(document.querySelector('td.score'), '::before').content"
    assert page.evaluate(said) == '"Match"'
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
