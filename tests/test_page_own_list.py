"""Progress while names of skills are read: on the page for a visitor's own list, on the terminal at the start."""

import time

import pytest

import page_model
import taxonomy
from page_service import PageService
from tests.running_page import running_page
from tests.test_taxonomy import stub_model
from tests.tiny_finder import WordEncoder, tiny_finder


class SlowEncoder(WordEncoder):
    """Takes a second for each pair of names."""

    def encode(self, sentences):
        """Wait, then encode."""
        time.sleep(1.0)
        return super().encode(sentences)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    finder = tiny_finder()
    object.__setattr__(finder, "encoder", SlowEncoder())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        patch.setattr(taxonomy, "ENCODE_AT_ONCE", 2)
        with running_page(PageService(finder, version="slow")) as (address, _):
            yield address


@pytest.mark.browser
def test_a_visitor_sees_how_far_the_list_is(page):
    """Eight names in pairs: after the first pair two of eight are read."""
    page.get_by_role("tab", name="Your own skills").click()
    rows = "".join(f"{number},sing {number}\n" for number in range(8))
    with page.expect_file_chooser() as chooser:
        page.click("#open-list")
    chooser.value.set_files({"name": "list.csv", "mimeType": "text/csv", "buffer": f"id,label\n{rows}".encode()})
    page.wait_for_selector("text=/Reading your skills - (25|50|75)/")
    page.wait_for_selector("text=8 skills are ready")
    assert page.get_by_text("Reading your skills").count() == 0


def test_the_terminal_sees_how_far_a_long_list_is(tmp_path, monkeypatch, capsys):
    """2,001 names, 800 at once; a list that is read in a moment says nothing."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(taxonomy, "ENCODE_AT_ONCE", 800)
    model, skills = str(stub_model(tmp_path)), tmp_path / "skills.csv"
    for count, lines in ((2001, ["800 of 2,001", "1,600 of 2,001", "2,001 of 2,001\n"]), (2000, [])):
        skills.write_text("id,label\n" + "".join(f"{n},bread {n}\n" for n in range(count)), encoding="utf-8")
        page_model.open_service(model, str(skills))
        said = capsys.readouterr().err
        assert said == "".join(f"\rreading the names of skills: {line}" for line in lines)
