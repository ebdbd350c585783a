"""The page's colours and fonts: none is fetched from elsewhere, and every text has a contrast of 4.5 to 1."""

from __future__ import annotations

from typing import Any

# Soft's own teal on white is too pale to read: these give at least 4.5 to 1.
COLOURS = {
    "button_primary_background_fill": "#0f766e",
    "button_primary_background_fill_hover": "#115e59",
    "button_primary_background_fill_dark": "#0f766e",
    "button_primary_background_fill_hover_dark": "#115e59",
    "body_text_color_subdued": "#56606f",
    "body_text_color_subdued_dark": "#a9b4c2",
    "input_placeholder_color": "#56606f",
    "input_placeholder_color_dark": "#a9b4c2",
    "button_primary_text_color": "#ffffff",
    "block_label_text_color": "#0f4f49",
    "block_title_text_color": "#0f4f49",
    "block_title_text_color_dark": "#b9f2e6",
    "block_title_background_fill": "none",
    "block_title_background_fill_dark": "none",
    "block_title_padding": "0",
    "body_background_fill": "#f8fafc",
    "input_border_width": "1px",
    "input_border_color": "#cbd5e1",
    "button_border_width": "1px",
    "button_secondary_border_color": "#cbd5e1",
}


def page_theme() -> Any:
    """Gradio's Soft with colours of our own."""
    import gradio as gr

    fonts = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica", "Arial", "sans-serif"]
    theme = gr.themes.Soft(primary_hue="teal", neutral_hue="slate", font=fonts, font_mono=["ui-monospace", "monospace"])
    theme.set(**COLOURS)
    return theme
