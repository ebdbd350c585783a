"""The tabs of the page: Gradio components and the events between them. What they do is in page_service.py."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

import page_html
from downloads import as_csv, as_json, as_records
from page_lists import FORGET_AFTER_S
from page_service import PageError, PageService, checked_text

EXAMPLES = Path(__file__).resolve().parent / "examples"
_DOWNLOAD = """(content, name, kind) => {
  if (!content) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], {type: kind}));
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}"""
_FOCUS = """() => {{
  const held = document.activeElement;
  const lost = !held || held === document.body || !held.offsetParent;
  const node = document.querySelector("{}");
  if (lost && node) node.focus({{preventScroll: true}});
}}"""
# page.js writes into the second line.
_DROP_HINT = """<p class="try">You can also drop a file on the box.</p><p id="drop-problem" role="alert"></p>"""
_WAITING = "Your skills will be listed here."
_WAITING_ADVICE = "Paste a job ad, open or drop a file, or try one of the examples. Then press “Find skills”."


def read_upload(service: PageService, path: str | None) -> str:
    """Text of an uploaded file, which is deleted as soon as it is read."""
    if not path:
        return ""
    return service.read_file(bytes_of_upload(path), Path(path).name)


def bytes_of_upload(path: str) -> bytes:
    """Bytes of an uploaded file; the file is deleted.

    Raises:
        PageError: it is gone: someone else opened the same file at this moment, or it waited for too long; or it is no
            upload, and stays.
    """
    gone = "The file is no longer there. Open it again."
    file = Path(path).resolve()
    # Gradio checks that too: a mistake there must not open or delete the files of this machine.
    if not file.is_relative_to(Path(get_upload_folder()).resolve()):
        raise PageError(gone)
    try:
        return file.read_bytes()
    except OSError:
        raise PageError(gone) from None
    finally:
        file.unlink(missing_ok=True)


def find_tab(service: PageService) -> None:
    """Paste, open or pick an ad; see its skills and where it says so."""
    records = gr.State(None, time_to_live=FORGET_AFTER_S)
    with gr.Row(elem_classes="finder"):
        with gr.Column(scale=5, min_width=320):
            with gr.Column(visible=True) as writing:
                text = gr.Textbox(
                    label="Job ad",
                    placeholder="Paste the text of a job ad here, or drop a file …",
                    lines=14,
                    max_lines=14,
                    elem_id="ad",
                )
                with gr.Row():
                    upload = gr.UploadButton(
                        "Open a file (text, PDF, Word)",
                        file_types=[".txt", ".pdf", ".docx"],
                        size="sm",
                        elem_id="open-file",
                    )
                    clear = gr.Button("Clear", size="sm", elem_id="clear")
                gr.HTML(_DROP_HINT, elem_id="drop-hint")
                example_buttons = _example_buttons()
            with gr.Column(visible=False) as reading:
                marked = gr.HTML(elem_id="marked")
                edit = gr.Button("Edit the text", size="sm", elem_id="edit")
            go = gr.Button("Find skills", variant="primary", elem_id="find")
            with gr.Accordion("Settings", open=False, elem_id="settings"):
                threshold, number, merge, grouped = _settings(service)
        with gr.Column(scale=6, min_width=320):
            results = gr.HTML(page_html.message(_WAITING, _WAITING_ADVICE), elem_id="results")
            with gr.Row(visible=False, elem_id="downloads") as downloads:
                as_table = gr.Button("Download for a spreadsheet (CSV)", size="sm", elem_id="download-csv")
                as_data = gr.Button("Download as JSON", size="sm", elem_id="download-json")

    def find(
        ad: str, least: float, most: int, merged: bool, by_group: bool
    ) -> tuple[dict[str, Any], dict[str, Any], str, str, list[dict[str, Any]] | None, dict[str, Any]]:
        show, hide = gr.update(visible=True), gr.update(visible=False)
        try:
            ad = checked_text(ad)
            started = time.perf_counter()
            matches = service.find(ad, least, int(most), merged)
        except PageError as error:
            return show, hide, "", page_html.message("That did not work.", str(error), problem=True), None, hide
        took = time.perf_counter() - started
        table = page_html.summary(matches, took) + page_html.skill_table(matches, by_group)
        found = as_records(matches, ad)
        return hide, show, page_html.marked_text(ad, matches), table, found, show if matches else hide

    inputs = [text, threshold, number, merge, grouped]
    outputs = [writing, reading, marked, results, records, downloads]
    private: dict[str, Any] = {"api_visibility": "private"}
    # What held the focus is hidden by the result: a keyboard goes on from what came in its place.
    gr.on([go.click], find, inputs, outputs, **private).then(None, js=_FOCUS.format("#marked .ad-text"))
    for slider in (threshold, number):
        # `release` knows no keyboard; one search at a time is under way, and the last position is always searched.
        slider.input(
            _only_with_text(find, outputs), inputs, outputs,
            show_progress="hidden", trigger_mode="always_last", **private,
        )  # fmt: skip
    for box in (merge, grouped):
        box.input(_only_with_text(find, outputs), inputs, outputs, show_progress="hidden", **private)
    edited = edit.click(
        lambda: (gr.update(visible=True), gr.update(visible=False)), None, [writing, reading], **private
    )
    edited.then(None, js=_FOCUS.format("#ad textarea"))
    clear.click(
        lambda: ("", page_html.message(_WAITING, _WAITING_ADVICE), None, gr.update(visible=False)),
        None,
        [text, results, records, downloads],
        **private,
    )
    upload.upload(lambda path: _opened(service, path), upload, [text, results, records, downloads], **private)
    for button, content in example_buttons:
        filled = button.click(lambda content=content: content, None, text, **private)
        filled.then(find, inputs, outputs, **private).then(None, js=_FOCUS.format("#marked .ad-text"))
    _connect_downloads(service, records, as_table, as_data)


def _opened(service: PageService, path: str | None) -> tuple[Any, str, None, Any]:
    """The file's text in place of the one before, whose skills go with it."""
    try:
        text = read_upload(service, path)
        said = page_html.message("The file is open.", "Press “Find skills” when it looks right.")
    except PageError as error:
        text, said = gr.skip(), page_html.message("That file cannot be used.", str(error), problem=True)
    return text, said, None, gr.update(visible=False)


def _only_with_text(find: Callable[..., tuple[Any, ...]], outputs: list[Any]) -> Callable[..., tuple[Any, ...]]:
    """Moving a slider before there is a text is no mistake."""

    def run(ad: str, *settings: Any) -> tuple[Any, ...]:
        return find(ad, *settings) if ad and ad.strip() else tuple(gr.skip() for _ in outputs)

    return run


def _settings(service: PageService) -> tuple[gr.Slider, gr.Slider, gr.Checkbox, gr.Checkbox]:
    least = service.finder.settings.threshold
    threshold = gr.Slider(
        0.2, 0.95, value=round(least, 2), step=0.01, label="How sure",
        info="Left: more skills, some of them wrong. Right: fewer and surer ones.", elem_id="threshold",
    )  # fmt: skip
    number = gr.Slider(1, 100, value=40, step=1, label="At most this many skills", elem_id="number")
    merge = gr.Checkbox(True, label="Put skills that say nearly the same together", elem_id="merge")
    has_groups = any(skill.group for skill in service.finder.index.skills)
    grouped = gr.Checkbox(False, label="Group by area of work", visible=has_groups, elem_id="grouped")
    return threshold, number, merge, grouped


def _example_buttons() -> list[tuple[gr.Button, str]]:
    """A button for each example ad that lies in the folder."""
    files = sorted(EXAMPLES.glob("*.txt"))
    if not files:
        return []
    gr.HTML('<p class="try">Or try an example:</p>')
    with gr.Row(elem_classes="examples-row"):
        return [
            (gr.Button(_example_name(file), size="sm", min_width=60), file.read_text(encoding="utf-8"))
            for file in files
        ]


def _example_name(file: Path) -> str:
    words = file.stem.replace("-", "_").split("_")
    return " ".join(words).capitalize()


def _connect_downloads(service: PageService, records: gr.State, as_table: gr.Button, as_data: gr.Button) -> None:
    """The browser saves the file itself, so that nothing is written here."""
    content = gr.Textbox(visible="hidden", elem_classes="unseen", container=False)
    name = gr.Textbox(visible="hidden", container=False)
    kind = gr.Textbox(visible="hidden", container=False)
    fields = [content, name, kind]

    def still_there(found: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
        if not found:
            raise gr.Error("These skills are no longer kept. Press “Find skills” again.", print_exception=False)
        return found

    def table(found: list[dict[str, Any]] | None) -> tuple[str, str, str]:
        return as_csv(still_there(found)), "skills.csv", "text/csv"

    def data(found: list[dict[str, Any]] | None) -> tuple[str, str, str]:
        return as_json(still_there(found), service.about()), "skills.json", "application/json"

    for button, make in ((as_table, table), (as_data, data)):
        made = button.click(make, records, fields, api_visibility="private", show_progress="hidden")
        made.then(None, fields, None, js=_DOWNLOAD).then(
            lambda: ("", "", ""), None, fields, api_visibility="private", show_progress="hidden"
        )


def compare_tab(service: PageService) -> None:
    """Skills that an ad asks for and a CV has or lacks."""
    with gr.Row():
        ad = gr.Textbox(label="Job ad", lines=12, max_lines=12, placeholder="Paste the job ad …", elem_id="compare-ad")
        cv = gr.Textbox(label="CV", lines=12, max_lines=12, placeholder="Paste the CV …", elem_id="compare-cv")
    go = gr.Button("Compare", variant="primary", elem_id="compare")
    result = gr.HTML(elem_id="comparison")

    def compare(first: str, second: str) -> str:
        try:
            found = service.compare(first, second)
        except PageError as error:
            return page_html.message("That did not work.", str(error), problem=True)
        return page_html.comparison(found.common, found.only_first, found.only_second)

    go.click(compare, [ad, cv], result, api_visibility="private")


def sentence_tab(service: PageService) -> None:
    """The twenty skills nearest to one sentence."""
    sentence = gr.Textbox(
        label="One sentence",
        placeholder="You will plan the weekly shifts of our ward.",
        max_lines=3,
        elem_id="sentence",
    )
    go = gr.Button("Show the nearest skills", variant="primary", elem_id="rank")
    result = gr.HTML(elem_id="ranking")

    def rank(written: str) -> str:
        try:
            return page_html.ranking(service.rank(written))
        except PageError as error:
            return page_html.message("That did not work.", str(error), problem=True)

    gr.on([go.click, sentence.submit], rank, sentence, result, api_visibility="private")
