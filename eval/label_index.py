"""The label index in a model folder -> the vectors of its labels, as `model_card` wrote them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dataset_builder.contract import StageError, sha256_of_file, sha256_of_lines
from eval.ranking import Floats

INDEX_FILE = "label_index/label_embeddings.safetensors"


@dataclass(frozen=True)
class LabelIndex:
    """Labels' vectors: (labels, dimensions) float32, of the lengths that a token-level score needs where it has them.

    `weights_sha256` are the hashes of the weights that they go with, `sha256` is that of the file. `token_share` is the
    share of the token-level score that goes with them, None where training's does.
    """

    vectors: Floats
    labels_sha256: str
    weights_sha256: frozenset[str]
    has_prototypes: bool
    token_share: float | None
    sha256: str

    def vectors_of(self, labels: list[str]) -> Floats:
        """The vectors of the label space.

        Raises:
            StageError: it is another one than the index's.
        """
        if sha256_of_lines(labels) != self.labels_sha256:
            raise StageError("the label index is of other labels than those to rank", "Give --labels names")
        return self.vectors


def read_label_index(file: Path) -> LabelIndex:
    """Read it.

    Raises:
        StageError: it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np") as tensors:
            metadata = tensors.metadata() or {}
            vectors = tensors.get_tensor("embeddings").astype(np.float32)
            if "lengths" in tensors.keys():
                vectors = vectors * tensors.get_tensor("lengths")[:, None]
        return LabelIndex(
            vectors=vectors,
            labels_sha256=metadata["labels_sha256"],
            weights_sha256=frozenset(json.loads(metadata["weights_sha256"]).values()),
            has_prototypes="prototypes" in metadata,
            token_share=float(metadata["token_share"]) if "token_share" in metadata else None,
            sha256=sha256_of_file(file),
        )
    except (SafetensorError, OSError, ValueError, KeyError, AttributeError) as error:
        raise StageError(f"{file} is damaged ({error})", "Make the index again, or give --labels names") from None
