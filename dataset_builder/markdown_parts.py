"""A part of a Markdown file that a program writes, between two comments: README's tables come from records alone."""

from __future__ import annotations

from pathlib import Path

from dataset_builder.contract import StageError, write_atomically


def markers_of(name: str) -> tuple[str, str]:
    """The comments around a part: `<!-- name -->` and `<!-- /name -->`."""
    return f"<!-- {name} -->", f"<!-- /{name} -->"


def put_part(path: str | Path, name: str, text: str) -> None:
    """Replace what stands between a part's markers.

    Raises:
        StageError: the file has no pair of them.
    """
    markers = markers_of(name)
    page = Path(path).read_text(encoding="utf-8")
    start, end = (page.find(marker) for marker in markers)
    if start < 0 or end < start:
        raise StageError(f"{path} has no place for the tables", f"Write {' and '.join(markers)} on lines of their own")
    write_atomically(path, f"{page[: start + len(markers[0])]}\n{text}\n{page[end:]}")
