"""A SentenceTransformer folder or Hub id -> a system that ranks labels by its vectors, with facts about the model."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.contract import StageError, sha256_of_file
from eval.batches import encode_in_batches, token_counts
from eval.label_index import INDEX_FILE, TABLE_FILE, LabelIndex, read_label_index
from eval.onnx_model import OnnxModel
from eval.openvino_model import OpenvinoModel
from eval.ranking import CosineSystem, Floats, System
from eval.results import SystemInfo
from eval.token_matching import TokenMatchingSystem
from training.run_record import TrainingRecord

WEIGHT_FILES = ("model.safetensors", "0_Transformer/model.safetensors", "0_StaticEmbedding/model.safetensors")
SCORES = ("auto", "cosine", "token-matching")
LABELS = ("auto", "names", "index")
EncodeTexts = Callable[[list[str]], Floats]


@dataclass(frozen=True)
class EncoderOptions:
    """How a model is run.

    `weights_file` is the ONNX or OpenVINO file in the model folder, where it has several; `score` is "cosine",
    "token-matching", or "auto": what the model was trained for. `labels` says what a label's vector is: "names" encodes
    its name, "index" takes that of the folder's label index, and "auto" the index where it was made of prototypes and
    has all of `label_space`, the labels to rank.
    """

    backend: str = "torch"
    weights_file: str = ""
    batch_size: int = 64
    device: str | None = None
    score: str = "auto"
    labels: str = "auto"
    label_space: tuple[str, ...] = ()


@dataclass(frozen=True)
class OpenedModel:
    """A model as a system, the facts about it, and the folds of skills its training did not see."""

    system: System
    info: SystemInfo
    held_out_folds: tuple[int, ...]


def open_encoder(spec: str, options: EncoderOptions, name: str = "") -> OpenedModel:
    """Open a model folder or Hub id[@revision].

    Raises:
        StageError: not there, not a model, its backend is not installed, or its training record is unreadable.
    """
    model = open_model(spec, options)
    place, revision = place_and_revision(spec)
    record_file = _file_of(place, revision, [TrainingRecord.FILE_NAME])
    record = TrainingRecord.load(record_file) if record_file else None
    weights = _file_of(place, revision, _weight_names(options))
    weights_sha256 = sha256_of_file(weights) if weights else None
    index = _index_of(place, revision, options, weights_sha256)
    # The share of the token-level score is the training's or the index's; where it is asked for beyond that, it is all.
    trained_share = record.token_share if record else 0.0
    if index and index.token_share is not None:
        trained_share = index.token_share
    share = {"cosine": 0.0, "token-matching": 1.0}.get(options.score, trained_share)
    name = name or (Path(place).name if Path(place).exists() else spec)
    encode_labels = index.vectors_of if index else None
    if share:
        system: System = token_system(name, model, options, share, encode_labels)
    else:
        system = cosine_system(name, model, options, encode_labels)
    info = SystemInfo(
        name=name,
        kind="token-matching" if share else "sentence-transformer",
        source=Path(place).name if Path(place).exists() else place,
        revision=revision if Path(place).exists() or not weights else _commit_of(weights),
        weights_sha256=weights_sha256,
        training_record_sha256=sha256_of_file(record_file) if record_file else None,
        dataset=record.dataset.id if record else None,
        dataset_version=record.dataset.version if record else None,
        model_version=record.version if record else None,
        settings={
            "backend": options.backend,
            "weights_file": options.weights_file or (weights.name if weights else ""),
            "max_sequence_length": str(model.max_seq_length),
            "precision": "float32" if options.backend == "torch" else "as exported",
            "score": "token-matching" if share else "cosine",
            **({"token_share": f"{share:g}"} if share else {}),
            **({"labels": "index", "label_index_sha256": index.sha256} if index else {}),
        },
    )
    return OpenedModel(system, info, tuple(record.recipe.get("held_out_folds", ())) if record else ())


def open_model(spec: str, options: EncoderOptions) -> Any:
    """The SentenceTransformer of a folder or Hub id[@revision], ready to encode, in fp32 under torch.

    Raises:
        StageError: not there, not a model, or its backend is not installed.
    """
    place, revision = place_and_revision(spec)
    folder = Path(place)
    if folder.exists() and not any((folder / name).is_file() for name in ("modules.json", "config.json")):
        raise StageError(f"{place} is not a model folder: it holds no modules.json", "Give the folder that train wrote")
    if not folder.exists() and place.count("/") != 1:
        raise StageError(f"{place} does not exist", "Give a model folder, a Hub id, or the name of a baseline")
    if options.backend != "torch":
        kind = OnnxModel if options.backend == "onnx" else OpenvinoModel
        return kind(folder if folder.exists() else _downloaded(place, revision), options.weights_file)
    # Here, so that an export runs without torch, as it does where torch is not installed.
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        model = SentenceTransformer(place, revision=revision, device=options.device, model_kwargs={"dtype": "float32"})
    except Exception as error:  # Each backend raises its own; whatever it is, the folder or the name is at fault.
        others = sorted(path.name for path in folder.glob("onnx/*.onnx"))
        remedy = f"Give --backend onnx --weights-file {others[0]}" if others else "Is the folder whole?"
        raise StageError(f"the model {spec} cannot be opened ({error})", remedy) from error
    return model.eval()


def cosine_system(
    name: str, model: Any, options: EncoderOptions, encode_labels: EncodeTexts | None = None
) -> CosineSystem:
    """Cosine of sentence and label vectors; a model with prompts gets its query and its document prompt.

    `encode_labels` gives labels other vectors than the model does.
    """
    encode_labels = encode_labels or _encoder(model, model.encode_document, options)
    return CosineSystem(name, _encoder(model, model.encode_query, options), encode_labels)


def token_system(
    name: str, model: Any, options: EncoderOptions, share: float = 1.0, encode_labels: EncodeTexts | None = None
) -> TokenMatchingSystem:
    """Token-level matching; sentences keep their token vectors, labels one vector each.

    `share` is that of the token-level score in what ranks, the rest being plain cosine. `encode_labels` gives labels
    other vectors than the model does.

    Raises:
        StageError: the model is static.
    """
    if not isinstance(model, OnnxModel):
        _prepare_for_tokens(name, model)

    def encode_tokens(texts: list[str]) -> list[Floats]:
        if isinstance(model, OnnxModel):
            return model.encode_tokens(texts, options.batch_size)
        tokens = model.encode_query(texts, output_value="token_embeddings", batch_size=options.batch_size)
        return [np.asarray(vectors.float().cpu(), dtype=np.float32) for vectors in tokens]

    encode_labels = encode_labels or _encoder(model, model.encode_document, options)
    sentences = _encoder(model, model.encode_query, options)
    return TokenMatchingSystem(name, encode_tokens, encode_labels, sentences, share)


def _prepare_for_tokens(name: str, model: Any) -> None:
    """Take out the module that scales labels to length 1, as training and exports do: the score needs their lengths.

    Raises:
        StageError: a static model, whose tokens have never seen each other.
    """
    if type(model[0]).__name__ == "StaticEmbedding":
        raise StageError(f"{name} is static and cannot be scored by tokens", "Give --score cosine")
    for part, module in list(model.named_children()):
        if type(module).__name__ == "Normalize":
            delattr(model, part)


def place_and_revision(spec: str) -> tuple[str, str | None]:
    """Folder or Hub id, and the revision after `@` where there is one."""
    if Path(spec).exists():
        return str(Path(spec).resolve()), None
    place, _, revision = spec.partition("@")
    return place, revision or None


def _downloaded(place: str, revision: str | None) -> Path:
    """The folder of a Hub model without its other weights."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(
            snapshot_download(
                place, revision=revision, allow_patterns=["*.json", "1_Pooling/*", "onnx/*", "openvino/*"]
            )
        )
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise StageError(f"the model {place} cannot be downloaded ({error})", "Is its name right?") from error


def _index_of(
    place: str, revision: str | None, options: EncoderOptions, weights_sha256: str | None
) -> LabelIndex | None:
    """The label index by which to rank, None for names, by which labels that an index lacks are ranked unasked.

    Raises:
        StageError: an index is asked for that is not there, or one of other weights.
    """
    wanted = options.labels
    if wanted == "names":
        return None
    file = _file_of(place, revision, [INDEX_FILE])
    if file is None:
        if wanted == "index":
            raise StageError(f"{place} has no {INDEX_FILE}", "Run `python -m model_card.build`, or give --labels names")
        return None
    table = _file_of(place, revision, [TABLE_FILE])
    if table is None:
        raise StageError(f"{place} has no {TABLE_FILE}", "Make the index again, or give --labels names")
    index = read_label_index(file, table)
    if wanted == "auto" and not index.has_prototypes:
        return None
    if weights_sha256 not in index.weights_sha256:
        remedy = "Make the index again, or give --labels names"
        raise StageError(f"the label index of {place} was made for other weights", remedy)
    if wanted == "auto" and not index.has(options.label_space):
        sys.stderr.write(f"{place}: its label index lacks labels that are ranked, so all are ranked by names\n")
        return None
    return index


def _encoder(model: Any, encode: Callable[..., Any], options: EncoderOptions) -> Callable[[list[str]], Floats]:
    def encode_batch(texts: list[str]) -> Floats:
        return np.asarray(
            encode(texts, batch_size=len(texts), show_progress_bar=False, convert_to_numpy=True), dtype=np.float32
        )

    def encoded(texts: list[str]) -> Floats:
        if isinstance(model, OnnxModel):
            return np.asarray(encode(texts, batch_size=options.batch_size), dtype=np.float32)
        return encode_in_batches(encode_batch, texts, token_counts(model, texts), options.batch_size)

    return encoded


def _weight_names(options: EncoderOptions) -> Sequence[str]:
    if options.backend == "torch":
        return WEIGHT_FILES
    default = "onnx/model.onnx" if options.backend == "onnx" else "openvino/openvino_model.xml"
    # OpenVINO's .xml is the graph; its weights lie beside it.
    given = re.sub(r"\.xml$", ".bin", options.weights_file or default)
    return [given, f"{options.backend}/{given}"]


def _file_of(place: str, revision: str | None, names: Sequence[str]) -> Path | None:
    """The first of some files that a model folder or a Hub repository holds.

    Raises:
        StageError: the Hub does not say whether a file is there.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    for name in names:
        if Path(place).exists():
            found = Path(place) / name
        else:
            try:
                found = Path(hf_hub_download(place, name, revision=revision))
            except LocalEntryNotFoundError as error:
                raise StageError(f"{name} of {place} cannot be downloaded ({error})", "Try again") from error
            except EntryNotFoundError:
                continue
            except (HfHubHTTPError, OSError, ValueError) as error:
                raise StageError(f"{name} of {place} cannot be downloaded ({error})", "Try again") from error
        if found.is_file():
            return found
    return None


def _commit_of(cached: Path) -> str | None:
    """The commit in a cached file's path, .../snapshots/COMMIT/file."""
    parts = cached.parts
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts else None
