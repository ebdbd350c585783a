"""CardFacts -> the table of a model's forms: how large and fast each is, and what it loses against the trained weights.

Rows are the weight files of the folder, then forms that were measured and are not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from model_card.facts import CardFacts
from model_card.front_matter import benchmark_name
from training.export_record import ExportedForm

_MISSING = "-"


@dataclass(frozen=True)
class _Form:
    """One row: a weight file and what the records know of it."""

    path: str
    bytes: int
    sha256: str
    here: bool
    measured: ExportedForm | None

    @property
    def name(self) -> str:
        if self.measured:
            return self.measured.form
        return "torch" if self.path.endswith(".safetensors") else "onnx"

    @property
    def cosine(self) -> float | None:
        return self.measured.mean_cosine if self.measured else None


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A Markdown table; all columns but the first `left` stand to the right."""
    lines = [head, [*["---"] * left, *["---:"] * (len(head) - left)], *rows]
    cells = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def forms_table(facts: CardFacts) -> str:
    """One row a form; a column that no record fills is left out."""
    columns: list[tuple[str, Callable[[_Form], str]]] = [
        ("form", lambda form: form.name),
        ("file", lambda form: f"`{form.path}`" + ("" if form.here else " (not in this folder)")),
        ("size", lambda form: f"{form.bytes / 2**20:.1f} MiB"),
    ]
    if facts.speed:
        rates = {facts.speed.weights_sha256[one.weights_file]: one.sentences_per_s for one in facts.speed.backends}
        columns.append(("sentences a second", lambda form: _number(rates.get(form.sha256), ",.0f")))
    if facts.exports:
        columns += [
            (f"RP@5 {benchmark_name(name)} validation", partial(_rp_at_5, benchmark=name))
            for name in facts.exports.forms[0].rp_at_5
        ]
        columns.append(("mean cosine", lambda form: _number(form.cosine, ".4f")))
    columns.append(("SHA-256", lambda form: f"`{form.sha256[:12]}`"))
    rows = [[cell(form) for _, cell in columns] for form in _forms(facts)]
    return markdown_table([head for head, _ in columns], rows, left=2)


def _forms(facts: CardFacts) -> list[_Form]:
    measured = {form.sha256: form for form in facts.exports.forms} if facts.exports else {}
    here = [_Form(file.path, file.bytes, file.sha256, True, measured.get(file.sha256)) for file in facts.weights]
    known = {form.sha256 for form in here}
    return here + [
        _Form(form.file, form.bytes, sha256, False, form) for sha256, form in measured.items() if sha256 not in known
    ]


def _rp_at_5(form: _Form, benchmark: str) -> str:
    value = form.measured.rp_at_5.get(benchmark) if form.measured else None
    return _number(None if value is None else 100 * value, ".2f")


def _number(value: float | None, how: str) -> str:
    return _MISSING if value is None else format(value, how)
