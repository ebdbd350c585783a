"""The exports' contract: ExportResults <-> exports.json, one model's forms measured against the model itself."""

from __future__ import annotations

from typing import ClassVar

from dataset_builder.contract import Record, Strict


class ExportedForm(Strict):
    """One form of a model: how large, how fast, how good, and how far its vectors are from the model's own.

    `texts_per_s` is the median of some rounds over the same labels; `mean_cosine` is between its vectors and the
    model's, None for a form of other dimensions; `rp_at_5` by benchmark, in [0, 1].
    """

    form: str
    file: str
    bytes: int
    sha256: str
    texts_per_s: float
    mean_cosine: float | None
    rp_at_5: dict[str, float]


class ExportResults(Record):
    """All forms of one model, the model itself first."""

    FILE_NAME: ClassVar[str] = "exports.json"
    SCHEMA_VERSION: ClassVar[int] = 1

    model: str
    code_version: str
    processor: str
    cpu_cores: int
    forms: list[ExportedForm]
