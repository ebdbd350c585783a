"""A Hub id with an optional @revision, or a folder -> the encoder to start from, and what a record says of it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dataset_builder.contract import StageError, sha256_of_file
from training.dataset_rows import split_revision
from training.machine import is_out_of_memory, precision_in_use
from training.recipe import Loss
from training.run_record import ModelSource

# Other forms of the same weights, which training has no use for.
UNUSED_FILES = ["onnx/*", "openvino/*", "*.bin", "*.h5", "*.msgpack", "*.ot", "coreml/*", "label_index/*"]
ENCODE_BATCH = 128
SHOWN_FROM = 5_000  # texts, from which on a bar says that something happens
REMEDY = "Give a sentence-transformers folder, or a Hub id such as sentence-transformers/all-MiniLM-L6-v2"


@dataclass(frozen=True)
class BaseModel:
    """The base model's files on this machine."""

    folder: Path
    source: ModelSource


def find_base_model(name: str) -> BaseModel:
    """Find the base model, downloading it where needed.

    Raises:
        StageError: no such folder or Hub model, or it holds no safetensors weights.
    """
    place, revision = split_revision(name)
    folder = Path(place)
    if not folder.is_dir():
        folder, revision = _downloaded(place, revision)
    need_weights(folder, name)
    source = ModelSource(
        id=place if not Path(place).is_dir() else os.path.basename(os.path.abspath(place)),
        revision=revision,
        weights_sha256=sha256_of_weights(folder),
    )
    return BaseModel(folder, source)


def need_weights(folder: Path, name: str) -> list[Path]:
    """The weights of a sentence-transformers folder; `name` is what errors call it.

    Raises:
        StageError: there are none.
    """
    weights = weight_files(folder)
    if not weights:
        raise StageError(f"base model {name} holds no *.safetensors file", REMEDY)
    return weights


def is_static(folder: Path) -> bool:
    """Whether a sentence-transformers folder is a table of one vector a token, without a transformer."""
    try:
        modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        return str(modules[0]["type"]).endswith(".StaticEmbedding")
    except (OSError, ValueError, LookupError, TypeError):  # a plain encoder's, or one that cannot be opened
        return False


def need_transformer(folder: Path, loss: Loss) -> None:
    """Make sure that a loss that needs a transformer has one: a static model's texts cannot be cut from a batch.

    Raises:
        StageError: the model is static.
    """
    if (loss.by_tokens or loss.mini_batch) and is_static(folder):
        setting = f"the loss {loss.name}" if loss.by_tokens else "loss.mini_batch"
        remedy = "Use the loss masked_mnrl without mini_batch"
        raise StageError(f"{setting} needs a base model with a transformer, and {folder.name} is static", remedy)


def need_mean_pooling(encoder: Any) -> None:
    """Make sure that a sentence's vector is the mean over its tokens, normalised or not, and nothing more.

    Raises:
        StageError: other modules, or another pooling.
    """
    modules = [type(module).__name__ for module in encoder]
    pooling = getattr(encoder[1], "pooling_mode", "") if len(modules) > 1 else ""
    if modules[1:] not in (["Pooling"], ["Pooling", "Normalize"]) or pooling not in ("mean", ["mean"], ("mean",)):
        raise StageError(
            f"other forms are made of encoders that take the mean over tokens; this one is {', '.join(modules)} with "
            f"pooling {pooling or 'of none'}",
            "Export it with sentence-transformers itself",
        )


def weight_files(folder: Path) -> list[Path]:
    """The weights of a sentence-transformers folder: at its root, or in its modules' folders."""
    root = sorted(folder.glob("*.safetensors"))
    return [*root, *sorted(folder.glob("[0-9]*_*/*.safetensors"))]


def sha256_of_weights(folder: Path) -> str:
    """SHA-256 of model.safetensors where it stands at the root or is the only file, else of all files' hashes."""
    hashes = [sha256_of_file(file) for file in weight_files(folder)]
    if len(hashes) == 1 or (folder / "model.safetensors").is_file():
        return hashes[0]
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def open_encoder(folder: Path) -> Any:
    """Open a sentence-transformers folder, or a plain encoder's, which then gets mean pooling; prompts are emptied.

    Raises:
        StageError: it cannot be opened.
    """
    from sentence_transformers import SentenceTransformer

    try:
        with contextlib.redirect_stderr(io.StringIO()):
            encoder = SentenceTransformer(str(folder), trust_remote_code=False, local_files_only=True)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:200]
        raise StageError(f"base model {folder} cannot be opened ({type(error).__name__}: {reason})", REMEDY) from error
    return _without_prompts(encoder)


def stored_prompts(folder: Path) -> tuple[str, ...]:
    """Names of the prompts in a sentence-transformers folder that are not empty, such as E5's `query`."""
    try:
        config = json.loads((folder / "config_sentence_transformers.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none, or one with which the encoder cannot be opened
        return ()
    return tuple(name for name, prompt in (config.get("prompts") or {}).items() if prompt)


def _without_prompts(encoder: Any) -> Any:
    """The encoder with its prompts emptied: training adds none, so that the model it saves must not be given any."""
    if any(encoder.prompts.values()):
        encoder.prompts = dict.fromkeys(encoder.prompts, "")
        encoder.default_prompt_name = None
    return encoder


def embed_texts(encoder: Any, texts: Sequence[str], precision: str = "auto") -> Any:
    """Embed texts in batches, with a bar where it takes a while.

    Args:
        encoder: a SentenceTransformer.
        texts: any number.
        precision: auto, bf16 or fp32; bf16 halves the time on processors that have it.

    Returns:
        float32 tensor (texts, dimensions), L2-normalised, on the encoder's device.
    """
    with torch.autocast(encoder.device.type, torch.bfloat16, enabled=precision_in_use(precision) == "bf16"):
        embeddings = encoder.encode(
            list(texts),
            batch_size=ENCODE_BATCH,
            convert_to_tensor=True,
            normalize_embeddings=True,
            show_progress_bar=len(texts) > SHOWN_FROM,
        )
    return embeddings.float()


def without_normalisation(encoder: Any) -> Any:
    """The encoder without the module that scales embeddings to length 1: token-level matching needs their length.

    Plain cosine stays what it was, since it scales them itself.
    """
    from sentence_transformers.sentence_transformer.modules import Normalize

    for name, module in list(encoder.named_children()):
        if isinstance(module, Normalize):
            delattr(encoder, name)
    return encoder


def _downloaded(name: str, revision: str | None) -> tuple[Path, str]:
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, revision=revision, ignore_patterns=UNUSED_FILES))
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise StageError(f"base model {name} cannot be found ({type(error).__name__}: {reason})", REMEDY) from error
    return folder, folder.name
