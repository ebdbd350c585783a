"""What a teacher said of texts, kept by the hash of each text -> the same labels again, without the teacher.

Sentences of others cannot be passed on; what a model says of them can. Whoever has the texts gets their labels at once,
and needs neither the teacher's weights nor the hours of its training. A Parquet file has a row a text: the first eight
bytes of its SHA-256, the number of the nearest label, and the score.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from dataset_builder.contract import StageError
from dataset_builder.seeded import stable_number
from training.label_space import LabelSpace
from training.run_record import ModelSource

SUFFIX = ".parquet"
SCHEMA = pa.schema({"text": pa.uint64(), "label": pa.int32(), "score": pa.float32()})
UNKNOWN = -math.inf  # the score of a text that is not kept: below any bound
_TEACHER, _LABELS = b"teacher", b"labels_sha256"


class Labeller(Protocol):
    """Anything that labels texts."""

    def nearest(self, texts: Sequence[str]) -> list[tuple[str, float]]:
        """(preferred label, score) of each text's nearest label."""


class KeptLabels:
    """Labels that a teacher gave before.

    Args:
        path: what `Notes.save` wrote.
        labels: the label space, which must be the teacher's.

    Raises:
        StageError: no such file, or one of another label space.
    """

    def __init__(self, path: str | Path, labels: LabelSpace) -> None:
        try:
            table = pq.read_table(path)
            about: Mapping[bytes, bytes] = table.schema.metadata or {}
            self.teacher = ModelSource.model_validate_json(about[_TEACHER])
            hashes, numbers, scores = (table[name].to_pylist() for name in SCHEMA.names)
        except (OSError, pa.ArrowException, KeyError, ValidationError) as error:
            raise StageError(f"{path} holds no kept labels ({type(error).__name__})") from None
        if about[_LABELS].decode() != labels.sha256:
            raise StageError(f"{path} is of another label space", "Give the --esco that its teacher had")
        self._labels = labels.labels
        self._known = dict(zip(hashes, zip(numbers, scores, strict=True), strict=True))

    def nearest(self, texts: Sequence[str]) -> list[tuple[str, float]]:
        """(preferred label, score) of each text; UNKNOWN for one that is not kept."""
        found = (self._known.get(stable_number(text), (0, UNKNOWN)) for text in texts)
        return [(self._labels[number], score) for number, score in found]


class Notes:
    """A labeller that notes down what it says."""

    def __init__(self, labeller: Labeller, labels: LabelSpace, teacher: ModelSource) -> None:
        self._labeller = labeller
        self._labels = labels
        self.teacher = teacher
        self._said: dict[int, tuple[str, float]] = {}

    def nearest(self, texts: Sequence[str]) -> list[tuple[str, float]]:
        """What the labeller says."""
        said = self._labeller.nearest(texts)
        self._said.update(zip(map(stable_number, texts), said, strict=True))
        return said

    def told(self) -> tuple[int, int]:
        """How many texts nothing is known of, and how many there were."""
        return sum(score == UNKNOWN for _, score in self._said.values()), len(self._said)

    def save(self, path: str | Path) -> None:
        """Write what was said so far, in the order of the hashes: the same texts give the same bytes.

        A text that nothing is known of is left out: in the file it would be one that is kept.
        """
        number = {label: place for place, label in reversed(list(enumerate(self._labels.labels)))}
        known = [(text, said) for text, said in sorted(self._said.items()) if said[1] != UNKNOWN]
        rows = [(text, number[label], score) for text, (label, score) in known]
        about = {_TEACHER: self.teacher.model_dump_json().encode(), _LABELS: self._labels.sha256.encode()}
        columns = list(map(list, zip(*rows, strict=True))) or [[], [], []]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(arrays, schema=SCHEMA.with_metadata(about)), path, compression="zstd")


def are_kept_labels(place: str) -> bool:
    """Whether a teacher's place is a file of labels rather than a model."""
    return place.endswith(SUFFIX) and Path(place).is_file()
