"""The label index in a model folder -> the vectors of its labels, as `model_card` wrote them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dataset_builder.contract import StageError, sha256_of_file, sha256_of_lines
from eval.ranking import Floats

INDEX_FILE = "label_index/label_embeddings.safetensors"
TABLE_FILE = "label_index/skills.parquet"


@dataclass(frozen=True)
class LabelIndex:
    """Labels' vectors: (labels, dimensions) float32, of the lengths that a token-level score needs where it has them.

    `labels` are their labels. `weights_sha256` are the hashes of the weights that they go with, `sha256` is that of the
    file. `token_share` is the share of the token-level score that goes with them, None where training's does.
    """

    vectors: Floats
    labels: tuple[str, ...]
    weights_sha256: frozenset[str]
    has_prototypes: bool
    token_share: float | None
    sha256: str

    def has(self, labels: Sequence[str]) -> bool:
        """Whether every one of some labels has a vector here."""
        return set(labels) <= set(self.labels)

    def vectors_of(self, labels: list[str]) -> Floats:
        """The vectors of the label space, which may be a part of the index's.

        Raises:
            StageError: it has labels that the index lacks.
        """
        if tuple(labels) == self.labels:
            return self.vectors
        if not self.has(labels):
            raise StageError("the label index lacks labels that are to be ranked", "Give --labels names")
        row_of = {label: row for row, label in reversed(list(enumerate(self.labels)))}
        return self.vectors[[row_of[label] for label in labels]]


def read_label_index(file: Path, table: Path) -> LabelIndex:
    """Read it: the file of vectors, and the table of their skills.

    Raises:
        StageError: one is damaged, or they do not belong together.
    """
    import pyarrow as pa
    import pyarrow.parquet as parquet
    from safetensors import SafetensorError, safe_open

    remedy = "Make the index again, or give --labels names"
    try:
        labels = tuple(parquet.read_table(table, columns=["label"])["label"].to_pylist())
    except (pa.ArrowException, OSError) as error:
        raise StageError(f"{table} is damaged ({error})", remedy) from None
    try:
        with safe_open(file, framework="np") as tensors:
            metadata = tensors.metadata() or {}
            vectors = tensors.get_tensor("embeddings").astype(np.float32)
            if "lengths" in tensors.keys():
                vectors = vectors * tensors.get_tensor("lengths")[:, None]
        of_labels = metadata["labels_sha256"]
        index = LabelIndex(
            vectors=vectors,
            labels=labels,
            weights_sha256=frozenset(json.loads(metadata["weights_sha256"]).values()),
            has_prototypes="prototypes" in metadata,
            token_share=float(metadata["token_share"]) if "token_share" in metadata else None,
            sha256=sha256_of_file(file),
        )
    except (SafetensorError, OSError, ValueError, KeyError, AttributeError) as error:
        raise StageError(f"{file} is damaged ({error})", remedy) from None
    if sha256_of_lines(labels) != of_labels or len(labels) != len(vectors):
        raise StageError(f"{file} was made for other labels than those in {table}", remedy)
    return index
