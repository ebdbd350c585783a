"""Files of ads for tests of the bulk command, and the command over a tiny finder."""

from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq

import bulk
from bulk_rows import AdSource
from tests.tiny_finder import tiny_finder


def write_ads(path, texts, row_group_size=None):
    """A Parquet file with the column text."""
    pq.write_table(pa.table({"text": pa.array(texts, pa.string())}), path, row_group_size=row_group_size)
    return path


def texts_of(path):
    return [row.text for row in AdSource(str(path), "text").rows()]


def bulk_command(monkeypatch):
    """The command as a function of its arguments; returns its exit code."""
    monkeypatch.setattr(bulk, "open_service", lambda *_: SimpleNamespace(finder=tiny_finder()))
    return lambda *arguments: bulk.run_command(bulk.main, [str(argument) for argument in arguments])
