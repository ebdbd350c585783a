"""Real sentences without labels -> skills by a teacher model, for a round of self-training.

    python -m training.pseudo_labels --teacher DIR_OR_HUB_ID[@REV] --esco ESCO_ZIP --spans SKILLSPAN_TRAIN_JSON \
        --sentences TXT --benchmarks BENCHMARKS_DIR --out pseudo_labels.csv

A model is surer of a text that says one thing than of a sentence that says three. So it labels parts: the spans that
people marked (SkillSpan, Zhang et al. 2022, arXiv 2204.12811), and the clauses of sentences that nobody marked. A
sentence gets the labels of its parts; a student that sees sentence and labels alone learns to find all of them in the
whole. Pseudo-labels are those of Lee 2013 (Workshop on Challenges in Representation Learning, ICML), a bound on the
teacher's score as in Sohn et al. 2020 (arXiv 2001.07685). With several teachers a label counts that all of them give.

Copies and near-copies of benchmark sentences, and texts that hold one, are left out. The file has SkillSkape's columns,
and a JSON of the same name beside it says what made it.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_builder.contract import (
    StageError,
    code_version,
    run_command,
    sha256_of_file,
    shown_command,
    write_atomically,
)
from dataset_builder.esco import read_esco
from training.kept_labels import SUFFIX, Labeller
from training.literal_matches import read_sentences
from training.overlap import give_away
from training.teachers import Teachers

WORDS_OF_A_SENTENCE = range(4, 29)
WORDS_OF_A_CLAUSE = range(2, 13)
_CLAUSE_ENDS = re.compile(r"\s*(?:[,;:()]|\.(?=\s|$)| and | or | & | as well as | including | such as )\s*")
# What speaks of the reader or asks something is of a form to fill in, not of an ad.
_QUESTION = re.compile(
    r"\?|^\W*(?:i|my|you|your|do|did|are|have|has|can|which|what|select|choose|please)\b", re.IGNORECASE
)
_MASK = re.compile(r"<[A-Z_]+>")


@dataclass(frozen=True)
class PartedSentence:
    """A sentence and the parts of it that may each name a skill."""

    sentence: str
    parts: tuple[str, ...]


@dataclass(frozen=True)
class LabelledSentence:
    """A sentence and the preferred labels of its skills."""

    sentence: str
    labels: tuple[str, ...]


def read_spans(path: str | Path) -> list[PartedSentence]:
    """Read SkillSpan: sentences with marked skills and knowledge, those without any left out.

    Args:
        path: a file with one JSON object a line: tokens, tags_skill and tags_knowledge, tagged B, I or O.

    Raises:
        StageError: no such file, or a line of another shape.
    """
    path = Path(path)
    if not path.is_file():
        raise StageError(f"{path} does not exist", "Give SkillSpan's train.json")
    found: dict[str, dict[str, None]] = {}
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise StageError(f"{path} is not UTF-8 text ({error.reason})") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            spans = [
                *_spans(row["tokens"], row["tags_skill"]),
                *_spans(row["tokens"], row["tags_knowledge"]),
            ]
            sentence = " ".join(row["tokens"])
        except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise StageError(f"{path} line {number} is not a SkillSpan sentence ({error!r})") from None
        if spans:
            found.setdefault(sentence, {}).update(dict.fromkeys(spans))
    return [PartedSentence(sentence, tuple(spans)) for sentence, spans in found.items()]


def _spans(tokens: Sequence[str], tags: Sequence[str]) -> Iterator[str]:
    """The texts of marked spans; one that holds a mask such as <ORGANIZATION> names nothing."""
    current: list[str] = []
    for token, tag in [*zip(tokens, tags, strict=True), ("", "O")]:
        if tag != "I" and current:
            span = " ".join(current)
            if not _MASK.search(span):
                yield span
            current = []
        if tag != "O":
            current.append(token)


def part_sentences(sentences: Sequence[str], limit: int, seed: int) -> list[PartedSentence]:
    """A seeded sample of the sentences that look like lines of an ad, each with its clauses and itself as parts."""
    fitting = [
        one for one in dict.fromkeys(" ".join(sentence.split()) for sentence in sentences) if _looks_like_an_ad(one)
    ]
    chosen = fitting if limit >= len(fitting) else random.Random(seed).sample(fitting, limit)
    return [PartedSentence(sentence, clauses_of(sentence)) for sentence in chosen]


def _looks_like_an_ad(sentence: str) -> bool:
    return len(sentence.split()) in WORDS_OF_A_SENTENCE and not _QUESTION.search(sentence)


def clauses_of(sentence: str) -> tuple[str, ...]:
    """The sentence and what stands between its commas, colons, brackets and conjunctions, of two words or more."""
    clauses = (clause.strip(" .-*•") for clause in (sentence, *_CLAUSE_ENDS.split(sentence)))
    return tuple(dict.fromkeys(clause for clause in clauses if len(clause.split()) in WORDS_OF_A_CLAUSE))


def label_sentences(
    sentences: Sequence[PartedSentence],
    teacher: Labeller,
    least_score: float,
    per_skill: int | None = None,
    all_labels: bool = False,
) -> list[LabelledSentence]:
    """Give each sentence the labels that the teacher is sure of for its parts; sentences without any are left out.

    Args:
        sentences: with their parts.
        teacher: who labels.
        least_score: cosine from which on a label counts.
        per_skill: at most so many sentences a skill, first ones first.
        all_labels: a sentence that any of its skills still wants has the others as well, which then have more; a
            label that is left out makes a negative of a skill that the sentence asks for.
    """
    parts = list(dict.fromkeys(part for one in sentences for part in one.parts))
    nearest = dict(zip(parts, teacher.nearest(parts), strict=True))
    used: Counter[str] = Counter()
    found = []
    for one in sentences:
        sure = dict.fromkeys(label for label, score in map(nearest.__getitem__, one.parts) if score >= least_score)
        wanted = tuple(label for label in sure if per_skill is None or used[label] < per_skill)
        labels = tuple(sure) if wanted and all_labels else wanted
        used.update(labels)
        if labels:
            found.append(LabelledSentence(one.sentence, labels))
    return found


def without_copies(sentences: Sequence[PartedSentence], benchmarks: str | Path) -> list[PartedSentence]:
    """The sentences that neither equal nor nearly equal nor hold one of any benchmark file in the folder."""
    found = give_away([one.sentence for one in sentences], benchmarks)
    return [one for one, is_one in zip(sentences, found, strict=True) if not is_one]


def main(arguments: Sequence[str] | None = None) -> None:
    """Label spans and sentences, and write them as one file."""
    given = _parser().parse_args(arguments)
    _check(given)
    spans = read_spans(given.spans) if given.spans else []
    plain = part_sentences(read_sentences(given.sentences), given.limit, given.seed) if given.sentences else []
    kept = [without_copies(one, given.benchmarks) for one in (spans, plain)]
    teacher = Teachers(given.teacher, read_esco(given.esco))
    # A marked span is a text of its own, too: short as the names that people search for, or as long as a copy.
    alone = [PartedSentence(part, (part,)) for part in dict.fromkeys(part for one in kept[0] for part in one.parts)]
    own = without_copies(alone, given.benchmarks)
    found = {
        "sentences_with_spans": label_sentences(kept[0], teacher, given.least_score_span),
        "spans": label_sentences(own, teacher, given.least_score_span),
        "sentences": label_sentences(kept[1], teacher, given.least_score_clause, given.per_skill, given.all_labels),
    }
    rows = {one.sentence: one.labels for group in reversed(found.values()) for one in group}
    _write(Path(given.out), rows)
    about = {
        "command": shown_command("training.pseudo_labels", list(arguments if arguments is not None else sys.argv[1:])),
        "code_version": code_version(),
        "teacher": teacher.source.model_dump(),
        "teachers": [one.model_dump() for one in teacher.sources],
        "sha256": sha256_of_file(given.out),
        "inputs_sha256": {
            name: sha256_of_file(path) for name in ("spans", "sentences") if (path := getattr(given, name))
        },
        "copies_of_benchmark_sentences": len(spans) + len(plain) - sum(map(len, kept)),
        "spans_that_copy_benchmark_sentences": len(alone) - len(own),
        "labelled": {name: _counts(group) for name, group in found.items()},
    }
    write_atomically(Path(given.out).with_suffix(".json"), json.dumps(about, indent=2) + "\n")
    if given.keep:
        teacher.save(given.keep)
    for name, group in found.items():
        print(
            "{}: {sentences:,} labelled, {pairs:,} pairs, {skills:,} skills".format(
                name.replace("_", " "), **_counts(group)
            )
        )
    print(f"{given.out}: {len(rows):,} texts")
    unknown, every = teacher.told()
    if unknown:
        print(f"{unknown:,} of {every:,} texts are not among the kept labels, and got none")


def _check(given: argparse.Namespace) -> None:
    """Say what is missing or cannot be before anything is read."""
    if not given.spans and not given.sentences:
        raise StageError("nothing to label", "Give --spans JSON, --sentences TXT, or both")
    for flag, place, suffix in (("--out", given.out, ".csv"), ("--keep", given.keep, SUFFIX)):
        if place and not place.endswith(suffix):
            raise StageError(f"{flag} must end in {suffix}, got {place}")
    if given.keep and len(given.teacher) > 1:
        raise StageError("--keep keeps what one teacher says", "Run it once with each --teacher")
    for name in ("least_score_span", "least_score_clause"):
        if not -1 <= getattr(given, name) <= 1:
            raise StageError(f"--{name.replace('_', '-')} is a cosine from -1 to 1, got {getattr(given, name)}")
    for name in ("limit", "per_skill"):
        if getattr(given, name) < 1:
            raise StageError(f"--{name.replace('_', '-')} must be at least 1, got {getattr(given, name)}")


def _counts(group: Sequence[LabelledSentence]) -> dict[str, int]:
    labels = [label for one in group for label in one.labels]
    return {"sentences": len(group), "pairs": len(labels), "skills": len(set(labels))}


def _write(path: Path, rows: dict[str, tuple[str, ...]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["sentence", "skills"])
    writer.writerows([sentence, repr(list(labels))] for sentence, labels in rows.items())
    write_atomically(path, text.getvalue())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.pseudo_labels", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add: Any = parser.add_argument
    teacher = "a model trained on labelled pairs, or what --keep of one wrote; with several, labels that all give count"
    add("--teacher", required=True, nargs="+", metavar="DIR_OR_HUB_ID[@REV]", help=teacher)
    add("--esco", required=True, nargs="+", metavar="ZIP_OR_FOLDER_OR_VERSION", help="the labels to choose from")
    add("--spans", metavar="JSON", help="SkillSpan's train.json")
    add("--sentences", metavar="TXT", help="real sentences, one a line (.gz too)")
    add("--benchmarks", required=True, metavar="DIR", help="CSV files whose sentences are left out, near-copies too")
    add("--out", required=True, metavar="CSV", help="where the labelled sentences go")
    keep = "also write what the teacher said of every text, by its hash, for --teacher of others who have the texts"
    add("--keep", metavar="PARQUET", help=keep)
    bound = "cosine from which on a label of a {} counts (default: %(default)s)"
    add("--least-score-span", type=float, default=0.65, metavar="X", help=bound.format("span"))
    add("--least-score-clause", type=float, default=0.7, metavar="X", help=bound.format("clause"))
    add(
        "--limit",
        type=int,
        default=20_000,
        metavar="N",
        help="sentences of --sentences to look at (default: %(default)s)",
    )
    add(
        "--per-skill", type=int, default=5, metavar="N", help="of --sentences, at most N a skill (default: %(default)s)"
    )
    all_labels = "with --per-skill: a sentence that is taken for one skill keeps the labels of skills that have enough"
    add("--all-labels", action="store_true", help=all_labels)
    add("--seed", type=int, default=1, metavar="N", help="decides which sentences (default: %(default)s)")
    add("--debug", action="store_true", help="show the traceback of an error")
    return parser


if __name__ == "__main__":
    sys.exit(run_command(main))
