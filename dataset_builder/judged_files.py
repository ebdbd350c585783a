"""A judged sample of pairs as a CSV file, and the share of right ones in it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dataset_builder.contract import StageError, write_atomically
from dataset_builder.quality import wilson_interval

BY_LLM = "judged_by_llm.csv"
COLUMNS_BY_LLM = ("sentence", "skill", "pair", "judge", "model", "verdict")
COLUMNS_BY_HAND = ("sentence", "skill", "description", "verdict")
WRITTEN, SWAPPED = "as written", "swapped"
YES, NO, UNCLEAR = "yes", "no", "unclear"


@dataclass(frozen=True)
class Judged:
    """One pair of the sample; `verdict` is yes, no, unclear, or empty where nobody has looked.

    `pair` is "as written", or "swapped" where the skill is that of another sentence.
    """

    sentence: str
    skill: str
    description: str
    verdict: str = ""
    pair: str = WRITTEN
    judge: str = ""
    model: str = ""


@dataclass(frozen=True)
class Accuracy:
    """Share of pairs judged right, with its 95% Wilson interval; unclear verdicts count as wrong.

    `judge` names who judged and `model` what its server calls it, both empty where the file does not say.
    """

    right: int
    judged: int
    judge: str = ""
    model: str = ""

    @property
    def share(self) -> float:
        """Pairs judged right, as a fraction."""
        return self.right / self.judged

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the share."""
        return wilson_interval(self.right, self.judged)


def by_hand_file(folder: str | Path) -> Path:
    """Where the sample for people lies: beside the folder, whose files are published without ESCO's descriptions."""
    folder = Path(folder).resolve()
    return folder.with_name(f"{folder.name}.judge_by_hand.csv")


def write_judged(path: str | Path, pairs: Sequence[Judged], columns: Sequence[str] = COLUMNS_BY_LLM) -> None:
    """Write the sample as CSV. Cells that a spreadsheet would take for a formula get a leading apostrophe.

    A bullet's "- " is left alone where programs read: its sentence must stay the dataset's.
    """
    formula = re.compile(r"[=+@\t\r]|-" if columns == COLUMNS_BY_HAND else r"[=+@\t\r]|-(?! )")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for pair in pairs:
        cells = [str(getattr(pair, column)) for column in columns]
        writer.writerow([f"'{cell}" if formula.match(cell) else cell for cell in cells])
    write_atomically(path, text.getvalue())


def read_accuracy(path: str | Path, pair: str = WRITTEN) -> Accuracy:
    """Count the verdicts of a judged sample: of the pairs as they were written, or of the swapped ones.

    Raises:
        StageError: no such file, not UTF-8, no column `verdict`, no verdict yet, or one that is not yes, no or unclear.
    """
    path = Path(path)
    if not path.is_file():
        raise StageError(f"{path} does not exist", "Judge a sample with python -m dataset_builder.judge")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise StageError(f"{path} is not UTF-8 text ({error.reason})", "Save it as CSV in UTF-8") from None
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if "verdict" not in (reader.fieldnames or ()):
        raise StageError(f"{path} has no column 'verdict'")
    rows = [(reader.line_num, row) for row in reader if (row.get("pair") or WRITTEN) == pair]
    given, judges = [], set()
    for line, row in rows:
        verdict = (row["verdict"] or "").strip().lower()
        if verdict not in ("", YES, NO, UNCLEAR):
            raise StageError(f"{path} line {line}: verdict {verdict!r} is none of yes, no, unclear")
        if verdict:
            given.append(verdict)
            judges.add((row.get("judge") or "", row.get("model") or ""))
    if not given:
        raise StageError(f"{path} has no verdict yet", "Fill in the column 'verdict' with yes or no")
    if len(judges) > 1:
        names = ", ".join(sorted(" ".join(filter(None, judge)) for judge in judges))
        raise StageError(f"{path} holds verdicts of several judges: {names}", "Judge it anew")
    return Accuracy(given.count(YES), len(given), *judges.pop())
