"""A model folder -> speed.json: how fast it opens, encodes and ranks on this machine, and the size of each export."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from dataset_builder.contract import Record, Strict


class BackendSpeed(Strict):
    """One way to run the model: its weight file and its rates over short sentences."""

    backend: str
    weights_file: str
    sentences_per_s: float = Field(gt=0)
    batch_size: int


class SpeedRecord(Record):
    """Rates on one machine. `open_and_rank_s`: model and label index opened and one sentence ranked, imports done."""

    FILE_NAME: ClassVar[str] = "speed.json"
    SCHEMA_VERSION: ClassVar[int] = 1

    created_at: str
    code_version: str
    device: str
    cpu_cores: int
    sentences: int
    words_per_sentence: float
    open_and_rank_s: float
    backends: list[BackendSpeed]
    weights_sha256: dict[str, str]
    libraries: dict[str, str]
