"""A model's name and tag -> the lines of Python that use it, as they stand in its card and are run by a test."""

from __future__ import annotations

_HEAD = """\
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
from huggingface_hub import snapshot_download
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer

name = "{repo_id}"
folder = Path(name if Path(name).exists() else snapshot_download(name, revision="{tag}"))
model = SentenceTransformer(str(folder))
labels = parquet.read_table(folder / "label_index/skills.parquet")["label"].to_pylist()
index = load_file(folder / "label_index/label_embeddings.safetensors")["embeddings"].astype(np.float32)
{threshold}
scores = index @ model.encode("You will plan and run the tests of our web services.", normalize_embeddings=True)
for skill in np.argsort(-scores, kind="stable")[:5]:
    if scores[skill] >= threshold:
        print(f"{{scores[skill]:.2f}}  {{labels[skill]}}")"""


def usage_snippet(repo_id: str, tag: str, calibrated: bool) -> str:
    """Lines that encode a sentence, rank all skills with the shipped index and keep those above the threshold."""
    threshold = (
        'threshold = json.loads((folder / "skill_finder.json").read_text())["threshold"]'
        if calibrated
        else "threshold = -1.0  # none was calibrated for this version"
    )
    code = _HEAD.format(repo_id=repo_id, tag=tag, threshold=threshold)
    return code if calibrated else code.replace("import json\n", "")
