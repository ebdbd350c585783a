"""An ESCO release and an encoder -> the label index that travels with a model, and back.

The index is two files in the model folder: skills.parquet (who the skills are) and label_embeddings.safetensors (where
they lie), tied to the weights and to the order of the labels by hash, so that a wrong pair is refused, not ranked.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dataset_builder.contract import StageError, sha256_of_file, sha256_of_lines, write_atomically
from dataset_builder.esco import EscoRelease
from model_card.prototype_facts import Prototypes, prototypes_metadata, read_prototypes
from model_card.skill_table import SKILLS_FILE, write_skills

PROMPTS_FILE = "config_sentence_transformers.json"
INDEX_FORMAT = "1"
EMBEDDINGS_FILE = "label_index/label_embeddings.safetensors"
_ENCODE_BATCH = 256
_REMEDY = "Run `python -m model_card.build` on this folder again"


class Encoder(Protocol):
    """Anything that turns texts into vectors, (n, d) float32."""

    def encode(self, sentences: list[str]) -> npt.NDArray[np.float32]:
        """Encode texts in order."""
        ...


@dataclass(frozen=True)
class LabelIndex:
    """The label space of a model. `embeddings`: (skills, dimensions) float16, each row of length 1.

    `lengths`: (skills,) float32, of the vectors before that, where the model scores by tokens. `prototypes` says what
    the vectors were made of beside the names, None where they are the names'; `token_share` is then the share of the
    token-level score in what ranks, where it is not what the training record says.
    """

    uris: tuple[str, ...]
    labels: tuple[str, ...]
    embeddings: npt.NDArray[np.float16]
    esco_version: str
    esco_language: str
    weights_sha256: dict[str, str]
    lengths: npt.NDArray[np.float32] | None = None
    prototypes: Prototypes | None = None
    token_share: float | None = None

    @property
    def labels_sha256(self) -> str:
        """Hash that names this label space and its order."""
        return sha256_of_lines(self.labels)


def weight_files(model_dir: str | Path) -> dict[str, str]:
    """SHA-256 of every safetensors and ONNX file of a model folder, by its relative path, but for the index itself.

    Raises:
        StageError: the folder holds no weights.
    """
    folder = Path(model_dir)
    found = {}
    for path in sorted([*folder.rglob("*.safetensors"), *folder.rglob("*.onnx")]):
        relative = path.relative_to(folder)
        if relative.parts[0] != "label_index" and not relative.parts[0].startswith(("checkpoint", ".")):
            found[relative.as_posix()] = sha256_of_file(path)
    if not found:
        raise StageError(f"{folder} holds no model.safetensors and no ONNX file", "Is it a model folder?")
    return found


def build_label_index(
    release: EscoRelease,
    open_encoder: Callable[[], Encoder],
    model_dir: str | Path,
    model_name: str,
    advance: Callable[[int], Any] = lambda _labels: None,
    by_tokens: bool = False,
) -> LabelIndex:
    """Write both files of the index; embeddings come last, and are kept where they fit already.

    Args:
        release: the skills, in label-space order.
        open_encoder: opens the model of `model_dir`; not called where the embeddings are kept.
        model_dir: the folder that gets `label_index/`.
        model_name: kept in the index for people.
        advance: called with the number of labels done, for a progress bar.
        by_tokens: whether the model scores by tokens, which takes the lengths of its labels' vectors.

    Raises:
        StageError: the model puts prompts before its texts, holds no weights, or gives a label no usable vector; or the
            folder has an index of prototypes that does not fit, which is not made here.
    """
    folder = Path(model_dir)
    refuse_prompts(folder)
    weight_files(folder)
    kept = index_fits(folder, release, by_tokens)
    if kept:
        write_skills(release, folder / SKILLS_FILE)
        return open_label_index(folder)
    if _has_prototypes(folder):
        raise StageError(
            f"{folder} has a label index of prototypes, made for other weights or other skills",
            "Run `python -m model_card.prototypes` on this folder again, or remove its label_index",
        )
    embeddings, lengths = encode_labels(open_encoder(), release.labels, advance)
    return write_label_index(folder, release, embeddings, lengths if by_tokens else None, model_name)


def write_label_index(
    folder: Path,
    release: EscoRelease,
    embeddings: npt.NDArray[np.float16],
    lengths: npt.NDArray[np.float32] | None,
    model_name: str,
    prototypes: Prototypes | None = None,
    token_share: float | None = None,
) -> LabelIndex:
    """Write both files of the index, embeddings last, for the weights in the folder; the rest is as in LabelIndex.

    Weights that the folder's former index knew and that are not in the folder, a small copy, the new one knows too.

    Raises:
        StageError: the folder holds no weights.
    """
    from safetensors.numpy import save

    metadata = {
        "format": INDEX_FORMAT,
        "weights_sha256": json.dumps(_known_weights(folder), sort_keys=True),
        "labels_sha256": release.labels_sha256,
        "esco_version": release.version,
        "esco_language": release.language,
        "model": model_name,
        **(prototypes_metadata(prototypes) if prototypes else {}),
        **({"token_share": f"{token_share:g}"} if token_share is not None else {}),
    }
    tensors = {"embeddings": embeddings, **({} if lengths is None else {"lengths": lengths})}
    write_skills(release, folder / SKILLS_FILE)
    write_atomically(folder / EMBEDDINGS_FILE, save(tensors, metadata=metadata))
    return open_label_index(folder)


def _known_weights(folder: Path) -> dict[str, str]:
    here = weight_files(folder)
    try:
        former = open_label_index(folder)
        check_weights(former, here)
    except StageError:
        return here
    return {**former.weights_sha256, **here}


def _has_prototypes(folder: Path) -> bool:
    """Whether it has an index of them, whatever else is wrong with it."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / EMBEDDINGS_FILE, framework="np") as file:
            return "prototypes" in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def refuse_prompts(folder: Path) -> None:
    """The index and the extractor encode without prompts, and the evaluation with them: two different rankings.

    Raises:
        StageError: the model has prompts.
    """
    path = folder / PROMPTS_FILE
    try:
        settings = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        named = [name for name, prompt in (settings.get("prompts") or {}).items() if prompt]
    except (ValueError, AttributeError) as error:
        raise StageError(f"{path} is damaged ({error})", "Put back the file that training wrote") from None
    if named:
        raise StageError(
            f"{path} has the prompts {', '.join(named)}, and labels and sentences are ranked here without any",
            "If the model was trained without prompts, empty them there and evaluate it again",
        )


def encode_labels(
    encoder: Encoder, labels: list[str], advance: Callable[[int], Any] = lambda _labels: None
) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.float32]]:
    """Encode labels and scale each vector to length 1: (labels, dimensions) float16, and the lengths before: (labels,).

    Raises:
        StageError: a label got no direction (a vector of zeros or not a number).
    """
    parts = []
    for start in range(0, len(labels), _ENCODE_BATCH):
        batch = labels[start : start + _ENCODE_BATCH]
        parts.append(np.asarray(encoder.encode(batch), dtype=np.float32))
        advance(len(batch))
    vectors = np.concatenate(parts)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    wrong = np.flatnonzero(~(lengths[:, 0] > 0))
    if wrong.size:
        raise StageError(f"the model gives no usable vector for the label {labels[wrong[0]]!r}")
    unit: npt.NDArray[np.float16] = (vectors / lengths).astype(np.float16)
    return unit, lengths[:, 0]


def open_label_index(model_dir: str | Path, weights_file: str | None = None) -> LabelIndex:
    """Read the index of a model folder.

    Args:
        model_dir: a model folder.
        weights_file: relative path of the weights that will encode the sentences; their hash must be the index's.

    Raises:
        StageError: no index, another format, labels that are not those embedded, or weights it does not fit.
    """
    import pyarrow as pa
    import pyarrow.parquet as parquet
    from safetensors import SafetensorError, safe_open

    folder = Path(model_dir)
    path = folder / EMBEDDINGS_FILE
    if not path.is_file() or not (folder / SKILLS_FILE).is_file():
        raise StageError(f"{folder} has no label index", _REMEDY)
    try:
        with safe_open(path, framework="np") as file:
            metadata, embeddings = file.metadata() or {}, file.get_tensor("embeddings")
            lengths = file.get_tensor("lengths") if "lengths" in file.keys() else None
    except SafetensorError as error:
        raise StageError(f"{path} is damaged ({error})", _REMEDY) from None
    if metadata.get("format") != INDEX_FORMAT:
        raise StageError(f"{path} has format {metadata.get('format')!r}, this code reads {INDEX_FORMAT!r}", _REMEDY)
    try:
        table = parquet.read_table(folder / SKILLS_FILE, columns=["uri", "label"])
        index = LabelIndex(
            uris=tuple(table["uri"].to_pylist()),
            labels=tuple(table["label"].to_pylist()),
            embeddings=embeddings,
            esco_version=metadata["esco_version"],
            esco_language=metadata["esco_language"],
            weights_sha256=json.loads(metadata["weights_sha256"]),
            lengths=lengths,
            prototypes=read_prototypes(metadata),
            token_share=float(metadata["token_share"]) if "token_share" in metadata else None,
        )
        labels_sha256 = metadata["labels_sha256"]
    except (pa.ArrowException, ValueError, KeyError, TypeError) as error:
        raise StageError(f"the label index of {folder} is damaged ({error})", _REMEDY) from None
    if index.labels_sha256 != labels_sha256 or len(index.labels) != len(embeddings):
        raise StageError(f"{path} was made for other labels than those in {SKILLS_FILE}", _REMEDY)
    if weights_file is not None and index.weights_sha256.get(weights_file) != sha256_of_file(folder / weights_file):
        raise StageError(f"{path} was made for other weights than {weights_file}", _REMEDY)
    return index


def index_fits(model_dir: str | Path, release: EscoRelease, by_tokens: bool) -> bool:
    """Whether the folder already has the index of these weights, this label space and this way to score."""
    try:
        index = open_label_index(model_dir)
        check_weights(index, weight_files(model_dir))
    except StageError:
        return False
    same_skills = index.uris == tuple(skill.uri for skill in release.skills)
    same_skills &= (index.esco_version, index.esco_language) == (release.version, release.language)
    return same_skills and index.labels == tuple(release.labels) and (index.lengths is not None) == by_tokens


def check_weights(index: LabelIndex, weights: dict[str, str]) -> None:
    """Hold a folder's weight files against its index, which may know files that were left out of a small copy.

    Raises:
        StageError: a weight file that the index was not made for.
    """
    for path, sha256 in weights.items():
        if index.weights_sha256.get(path) != sha256:
            raise StageError(f"the label index was made for other weights than {path}", _REMEDY)
