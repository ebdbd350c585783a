"""A dataset folder's training rows -> the hash by which records name them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builder.contract import StageError, sha256_of_lines
from dataset_builder.schema import PAIRS_FILES, SENTENCE, SKILL


def sha256_of_rows(dataset: str | Path) -> str:
    """Hash of a dataset folder's training rows, as a training record states it; "" where they are not there.

    Raises:
        StageError: the file of the rows is no Parquet file with their columns.
    """
    path = Path(dataset) / PAIRS_FILES["train"]
    if not path.is_file():
        return ""
    try:
        table = pq.read_table(path, columns=[SENTENCE, SKILL])
    except (OSError, pa.ArrowException) as error:
        raise StageError(f"{path} cannot be read ({' '.join(str(error).split())})") from None
    rows = zip(*(table[name].to_pylist() for name in (SENTENCE, SKILL)), strict=True)
    texts = ((" ".join((sentence or "").split()), (skill or "").strip()) for sentence, skill in rows)
    return sha256_of_lines([f"{sentence}\t{skill}" for sentence, skill in texts if sentence and skill])
