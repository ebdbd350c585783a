"""A small page: paste predictions and references, one example a line, and read R-Precision@k."""

from pathlib import Path

import evaluate
import gradio

# The file, not the folder: on a Space the folder is called "app", and evaluate would look for app.py in it.
METRIC = evaluate.load(str(Path(__file__).with_name("r_precision_at_k.py")))
EXAMPLE_PREDICTIONS = "manage staff; lead a team; plan schedules\nuse spreadsheets; write reports; file documents"
EXAMPLE_REFERENCES = "manage staff; plan schedules\nwrite reports"


def items_by_line(text: str, examples: int = 0) -> list[list[str]]:
    """One list a line, its items separated by semicolons; blank lines at the end count up to so many examples."""
    written = text.rstrip()
    lines = written.splitlines()
    lines += [""] * min(text[len(written) :].count("\n"), examples - len(lines))
    return [[item.strip() for item in line.split(";") if item.strip()] for line in lines]


def cutoffs_of(text: str) -> list[int]:
    """Whole numbers with spaces or commas between.

    Raises:
        ValueError: something else, or nothing.
    """
    parts = text.replace(",", " ").split()
    wrong = [part for part in parts if not part.isdecimal()]
    if wrong or not parts:
        raise ValueError(f"k: write whole numbers such as 1 5 10, not {wrong[0] if wrong else 'nothing'!r}")
    return [int(part) for part in parts]


def score(predictions: str, references: str, cutoffs: str, skip_empty: bool) -> tuple[list[list[str]], str]:
    """Rows of (metric, value) for the pasted text, and a line that says what was wrong or left out."""
    examples = max(len(items_by_line(column)) for column in (predictions, references))
    try:
        result = METRIC.compute(
            predictions=items_by_line(predictions, examples),
            references=items_by_line(references, examples),
            k=cutoffs_of(cutoffs),
            mrr=True,
            on_empty="skip" if skip_empty else "error",
        )
    except ValueError as error:
        return [], str(error)
    skipped = result.pop("skipped", 0)
    rows = [[name, f"{100 * value:.2f}"] for name, value in result.items()]
    return rows, f"{skipped} without references left out" if skipped else ""


def page() -> gradio.Blocks:
    """The page, ready to launch."""
    with gradio.Blocks(title="R-Precision@k") as blocks:
        gradio.Markdown(
            "# R-Precision@k\n"
            "Of what could be right in the first k predictions, how much is right. "
            "One example a line, items separated by semicolons, best prediction first."
        )
        with gradio.Row():
            predictions = gradio.Textbox(EXAMPLE_PREDICTIONS, label="Predictions", lines=6)
            references = gradio.Textbox(EXAMPLE_REFERENCES, label="References", lines=6)
        with gradio.Row():
            cutoffs = gradio.Textbox("1 2 5", label="k (several with spaces between)")
            skip_empty = gradio.Checkbox(False, label="Leave out examples without references")
        button = gradio.Button("Score", variant="primary")
        table = gradio.Dataframe(headers=["metric", "value, 0 to 100"], datatype=["str", "str"], label="Scores")
        message = gradio.Textbox(label="Remarks", interactive=False)
        inputs = [predictions, references, cutoffs, skip_empty]
        # One at a time: the metric keeps the examples of a computation until it is done.
        button.click(score, inputs, [table, message], concurrency_limit=1)
    return blocks


if __name__ == "__main__":
    page().launch()
