"""The tab for a visitor's own list of skills in place of ESCO."""

from __future__ import annotations

import gradio as gr

import page_html
from page_lists import FORGET_AFTER_S, OwnList
from page_service import PageError, PageService, checked_text
from page_tabs import bytes_of_upload

_HELP = """Bring your own list of skills as a CSV file with the columns `id` and `label`. The columns `aliases` (parted
by `|`) and `type` are used where they are there. Your list stays in this session and is forgotten after an hour."""


def own_list_tab(service: PageService) -> None:
    """Upload a CSV of skills, then find those skills in a text."""
    own = gr.State(None, time_to_live=FORGET_AFTER_S)
    gr.Markdown(_HELP)
    with gr.Row(elem_classes="finder"):
        with gr.Column(scale=5, min_width=320):
            upload = gr.UploadButton("Open your list (CSV)", file_types=[".csv"], elem_id="open-list")
            status = gr.HTML(elem_id="list-status")
            text = gr.Textbox(label="Text", lines=10, max_lines=10, placeholder="Paste a text …", elem_id="own-text")
            go = gr.Button("Find my skills", variant="primary", elem_id="own-find")
        with gr.Column(scale=6, min_width=320):
            results = gr.HTML(elem_id="own-results")
            marked = gr.HTML(elem_id="own-marked")

    # Gradio finds the progress bar by its default.
    def opened(path: str | None, progress: gr.Progress = gr.Progress()) -> tuple[OwnList | None, str]:  # noqa: B008
        if not path:
            return None, ""
        try:
            listed = service.own_list(
                bytes_of_upload(path), lambda done, total: progress((done, total), desc="Reading your skills")
            )
        except PageError as error:
            return None, page_html.message("That list cannot be used.", str(error), problem=True)
        ready = f"{listed.count:,} skills are ready."
        return listed, page_html.message(ready, "Paste a text and press “Find my skills”.")

    def find(listed: OwnList | None, written: str) -> tuple[str, str]:
        if listed is None:
            return page_html.message("Open your list first.", "It is a CSV file with the columns id and label."), ""
        try:
            written = checked_text(written)
            matches = service.find(written, own=listed)
        except PageError as error:
            return page_html.message("That did not work.", str(error), problem=True), ""
        table = page_html.summary(matches) + page_html.skill_table(matches)
        return table, page_html.marked_text(written, matches)

    upload.upload(opened, upload, [own, status], api_visibility="private")
    go.click(find, [own, text], [results, marked], api_visibility="private")
