"""A file dropped on the ad's box, in Debian's chromium: taken as an opened one, and beside the box the page stays."""

import base64

import pytest

from tests.browser_page import names
from tests.test_documents import docx, paragraph, pdf

pytestmark = pytest.mark.browser
SAID = "document.querySelector('#drop-problem').textContent"

# The page's script, which comes after its boxes, keeps a file over the page from the browser.
LISTENS = """() => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([], "x"));
    const event = new DragEvent("dragover", {bubbles: true, cancelable: true, dataTransfer: transfer});
    return !document.body.dispatchEvent(event);
}"""


def drag(page, target: str, kinds: tuple[str, ...], files: dict[str, bytes]) -> list[bool]:
    """Send drag events with files over an element; says which of them the page keeps from the browser."""
    page.wait_for_function(LISTENS)
    return page.evaluate(
        """([target, kinds, files]) => {
            const transfer = new DataTransfer();
            for (const [name, base64] of files) {
                const bytes = Uint8Array.from(atob(base64), letter => letter.charCodeAt(0));
                transfer.items.add(new File([bytes], name));
            }
            const options = {bubbles: true, cancelable: true, dataTransfer: transfer};
            const node = document.querySelector(target);
            return kinds.map(kind => !node.dispatchEvent(new DragEvent(kind, options)));
        }""",
        [target, kinds, [(name, base64.b64encode(data).decode()) for name, data in files.items()]],
    )


def drop(page, target: str, **files: bytes) -> list[bool]:
    return drag(page, target, ("dragover", "drop"), {name.replace("_", "."): data for name, data in files.items()})


@pytest.mark.parametrize(
    "files",
    [
        {"ad_txt": b"You bake bread"},
        {"AD_DOCX": docx(paragraph("You bake bread"))},
        {"ad_pdf": pdf("You bake bread")},
    ],
)
def test_a_file_dropped_on_the_box_is_opened(page, files):
    assert drop(page, "#ad textarea", **files) == [True, True]
    page.wait_for_function("document.querySelector('#ad textarea').value.includes('You bake bread')")
    page.wait_for_selector("text=The file is open")
    page.click("#find")
    page.wait_for_selector("#results table.skills")
    assert names(page) == ["bake bread in ovens"]
    assert page.problems == []


def test_the_same_file_can_be_dropped_again(page):
    for _ in range(2):
        drop(page, "#ad textarea", ad_txt=b"You bake bread")
        page.wait_for_selector("text=The file is open")
        page.click("#clear")
        page.wait_for_selector("text=Your skills will be listed here")


def test_the_server_checks_a_dropped_file_as_any_other(page):
    drop(page, "#ad textarea", ad_pdf=b"no pdf")
    page.wait_for_selector("text=not a real PDF")
    drop(page, "#ad textarea", ad_txt=b"bread " * (5 * 1024 * 1024 // 6 + 100))
    page.wait_for_selector("text=/exceed the maximum allowed size/i")
    assert page.input_value("#ad textarea") == ""


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"cat_png": b"x"}, "Drop a file that ends in .txt, .pdf, .docx."),
        ({"one_txt": b"x", "two_txt": b"y"}, "Drop one file at a time."),
    ],
)
def test_what_is_no_ad_is_refused_in_words(page, files, says):
    sent = []
    page.on("request", lambda request: sent.append(request.url) if "upload" in request.url else None)
    drop(page, "#ad textarea", **files)
    page.wait_for_function(f"said => {SAID} === said", arg=says)
    page.wait_for_timeout(200)
    assert sent == []
    # The next good file takes the words away.
    drop(page, "#ad textarea", ad_txt=b"You bake bread")
    page.wait_for_function("document.querySelector('#ad textarea').value === 'You bake bread'")
    assert page.evaluate(SAID) == ""


@pytest.mark.parametrize("target", ["#find", "#results", ".masthead h1", "#drop-hint"])
def test_a_file_beside_the_box_neither_opens_nor_leaves_the_page(page, target):
    """What the page keeps from the browser is not opened by it in the page's place."""
    assert drop(page, target, ad_txt=b"You bake bread") == [True, True]
    page.wait_for_timeout(200)
    assert page.input_value("#ad textarea") == ""


def test_dragged_words_are_left_to_the_browser(page):
    assert drag(page, "#ad textarea", ("dragover", "drop"), {}) == [False, False]


def test_a_drag_shows_where_to_drop(page):
    def classes() -> set[str]:
        return set(page.get_attribute("#ad", "class").split()) & {"drop-here", "drop-now"}

    file = {"ad.txt": b"x"}
    assert classes() == set()
    drag(page, "#results", ("dragover",), file)
    assert classes() == {"drop-here"}
    assert "Drop the file here" in page.evaluate("getComputedStyle(document.querySelector('#ad'), '::after').content")
    drag(page, "#ad textarea", ("dragover",), file)
    assert classes() == {"drop-here", "drop-now"}
    drag(page, "#ad textarea", ("dragleave",), file)
    assert classes() == set()
    assert page.get_by_text("You can also drop a file on the box.").is_visible()


def drop_by_mouse(page, target: str, file) -> None:
    """As from a file manager: the browser itself finds what lies at the place and reads the file."""
    box = page.locator(target).bounding_box()
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, **place, "data": data})


def test_a_file_dropped_by_mouse(page, tmp_path):
    file = tmp_path / "ad.txt"
    file.write_text("You bake bread", encoding="utf-8")
    drop_by_mouse(page, "#ad textarea", file)
    page.wait_for_function("document.querySelector('#ad textarea').value === 'You bake bread'")


def test_a_folder_dropped_by_mouse_is_refused_in_words(page, tmp_path):
    drop_by_mouse(page, "#ad textarea", tmp_path)
    page.wait_for_function(f"{SAID} === 'That is a folder. Drop one file.'")
