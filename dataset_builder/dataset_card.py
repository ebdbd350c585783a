"""DatasetManifest -> the dataset's README: YAML front matter for the Hub, then facts of the manifest only."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from dataset_builder.schema import PAIRS_FILES, SKILLS_FILE, DatasetManifest

TEMPLATE = "dataset_card.md.jinja"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def render_card(manifest: DatasetManifest, pictures: dict[str, str] | None = None) -> str:
    """The card's text. `pictures` maps a caption to a path inside the dataset folder."""
    rows = {file.split: file.rows for file in manifest.files if file.config == "pairs"}
    return _template().render(
        manifest=manifest,
        pairs_files=PAIRS_FILES,
        skills_file=SKILLS_FILE,
        rows=rows,
        size_category=size_category(sum(rows.values())),
        pictures=pictures or {},
    )


def size_category(rows: int) -> str:
    """The Hub's name for a dataset of so many rows."""
    return next((name for bound, name in _SIZES if rows < bound), "1M<n<10M")


def _percent(value: float | None, digits: int = 1) -> str:
    return "not measured" if value is None else f"{100 * value:.{digits}f}%"


@lru_cache(maxsize=1)
def _template() -> Template:
    # The card is Markdown, not HTML: nothing is to be escaped.
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # noqa: S701
    environment.filters["percent"] = _percent
    environment.filters["thousands"] = lambda value: f"{value:,}"
    return environment.get_template(TEMPLATE)
