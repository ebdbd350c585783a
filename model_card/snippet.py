"""A model's name and tag -> the lines of Python that use it, as they stand in its card and are run by a test."""

from __future__ import annotations

_TORCH_IMPORT = "from sentence_transformers import SentenceTransformer"
_TORCH = """\
model = SentenceTransformer(str(folder))
vector = model.encode(sentence, normalize_embeddings=True)"""
_TORCH_TOKENS = """\
model = SentenceTransformer(str(folder))
hidden = model.encode(sentence, output_value="token_embeddings").float().cpu().numpy()"""
_ONNX_IMPORT = "from tokenizers import Tokenizer"
_ONNX = """\
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
tokenizer.no_padding()
tokens = tokenizer.encode(sentence)
given = {{"input_ids": tokens.ids, "attention_mask": tokens.attention_mask, "token_type_ids": tokens.type_ids}}
model = onnxruntime.InferenceSession(str(folder / "{onnx_file}"))
hidden = model.run(None, {{one.name: np.array([given[one.name]]) for one in model.get_inputs()}})[0][0]"""
_MEAN = "\nvector = hidden.mean(axis=0) / np.linalg.norm(hidden.mean(axis=0))"
_HEAD = """\
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow.parquet as parquet
from huggingface_hub import snapshot_download
from safetensors.numpy import load_file
"""
_BODY = """\

name = "{repo_id}"
folder = Path(name if Path(name).exists() else snapshot_download(name, revision="{tag}"))
sentence = "You will plan and run the tests of our web services."
{encode}
labels = parquet.read_table(folder / "label_index/skills.parquet")["label"].to_pylist()
index = load_file(folder / "label_index/label_embeddings.safetensors")
{score}
for skill in np.argsort(-scores, kind="stable")[:5]:
    print(f"{{scores[skill]:.2f}}  {{labels[skill]}}")"""


_BY_COSINE = 'scores = index["embeddings"].astype(np.float32) @ vector'
_BY_TOKENS = """\
skills = index["embeddings"].astype(np.float32) * index["lengths"][:, None]
products = hidden @ skills.T  # (tokens, skills)
attention = np.exp(products - products.max(axis=0))
cosines = products / (np.linalg.norm(hidden, axis=1)[:, None] * index["lengths"])
scores = (attention / attention.sum(axis=0) * cosines).sum(axis=0)"""
_AND_COSINE = """
vector = hidden.mean(axis=0) / np.linalg.norm(hidden.mean(axis=0))
scores = {share:g} * scores + {rest:g} * index["embeddings"].astype(np.float32) @ vector"""


def usage_snippet(repo_id: str, tag: str, onnx_file: str = "", token_share: float = 0.0) -> str:
    """Lines that encode a sentence, rank all skills with the shipped index and print the first five.

    Args:
        repo_id: name on the Hub.
        tag: version to load.
        onnx_file: the only weights of the folder, run by onnxruntime; "" for weights that sentence-transformers opens.
        token_share: of token-level matching in what ranks, as the model was trained for; the rest is the cosine.
    """
    head = _HEAD if onnx_file else _HEAD.replace("import onnxruntime\n", "")
    if onnx_file:
        encode = _ONNX.format(onnx_file=onnx_file) + ("" if token_share else _MEAN)
    else:
        encode = _TORCH_TOKENS if token_share else _TORCH
    score = _BY_TOKENS if token_share else _BY_COSINE
    if 0 < token_share < 1:
        score += _AND_COSINE.format(share=token_share, rest=1 - token_share)
    body = _BODY.format(repo_id=repo_id, tag=tag, encode=encode, score=score)
    return f"{head}{_ONNX_IMPORT if onnx_file else _TORCH_IMPORT}\n{body}"
