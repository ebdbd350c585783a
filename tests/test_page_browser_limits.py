"""The page's limits as a person meets them, in Debian's chromium: a file too large, one that is gone, half an emoji."""

import pytest

from tests.browser_page import names

pytestmark = pytest.mark.browser
FIVE_MB = 5 * 1024 * 1024


def open_file(page, button: str, name: str, data: bytes) -> None:
    with page.expect_file_chooser() as chooser:
        page.click(button)
    chooser.value.set_files({"name": name, "mimeType": "application/octet-stream", "buffer": data})


def test_a_file_over_the_limit_is_refused_in_words(page):
    open_file(page, "#open-file", "ad.txt", b"bread " * (FIVE_MB // 6 + 100))
    page.wait_for_selector("text=/exceed the maximum allowed size/i")
    assert page.input_value("#ad textarea") == ""
    open_file(page, "#open-file", "ad.txt", b"You bake bread")
    page.wait_for_function("document.querySelector('#ad textarea').value === 'You bake bread'")


def test_a_file_at_the_limit_is_too_long_a_text(page):
    open_file(page, "#open-file", "ad.txt", (b"bread " * (FIVE_MB // 6))[: FIVE_MB - 1])
    page.wait_for_selector("text=more than 100,000 characters")


def test_the_same_file_twice(page):
    for _ in range(2):
        open_file(page, "#open-file", "ad.txt", b"You bake bread")
        page.wait_for_selector("text=The file is open")
        page.click("#clear")
        page.wait_for_selector("text=Your skills will be listed here")


def test_half_an_emoji(page):
    page.evaluate(
        """() => { const box = document.querySelector("#ad textarea"); box.value = "You bake bread \\ud83c";
                   box.dispatchEvent(new Event("input", {bubbles: true})); }"""
    )
    page.click("#find")
    page.wait_for_selector("#results table.skills")
    assert names(page) == ["bake bread in ovens"]
    assert page.problems == []
