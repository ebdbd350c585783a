"""The table that sets dataset versions side by side says what their files and manifests hold."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from dataset_builder import versions_table
from dataset_builder.contract import StageError
from dataset_builder.markdown_parts import markers_of

RELEASES = Path(__file__).resolve().parent.parent / "dataset_builder" / "releases"


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_page_of_the_versions_has_the_table_of_today():
    begins, ends = markers_of(versions_table.PART)
    page = (RELEASES / "README.md").read_text(encoding="utf-8")
    assert page.split(begins)[1].split(ends)[0].strip() == versions_table.render(versions_table.read_versions(RELEASES))


def test_the_newest_stands_first_with_as_many_pairs_as_its_files_hold():
    *lines, published = versions_table.render(versions_table.read_versions(RELEASES)).splitlines()[2:]
    assert cells(published) == list(versions_table.PUBLISHED)
    assert len(lines) == len(list(RELEASES.glob("v*/manifest.json")))
    first = cells(lines[0])
    folder = RELEASES / first[0].split("(")[1].rstrip(")")
    rows = sum(parquet.read_metadata(file).num_rows for file in folder.glob("pairs/*.parquet"))
    assert first[1] == f"{rows:,}"
    versions = [[int(part) for part in cells(line)[0].split("]")[0][1:].split(".")] for line in lines]
    assert versions == sorted(versions, reverse=True)


def test_a_version_that_nobody_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Its manifest says nothing of a judge and nothing of who wrote which row: one LLM wrote all."""
    (tmp_path / "v1.0.0").mkdir()
    manifest = json.loads((RELEASES / "v1.0.0" / "manifest.json").read_text(encoding="utf-8"))
    manifest["quality"] = {name: value for name, value in manifest["quality"].items() if "judged" not in name}
    (tmp_path / "v1.0.0" / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    versions_table.main([str(tmp_path)])
    row = cells(capsys.readouterr().out.splitlines()[2])
    used = manifest["tokens"]
    tokens = f"{used['prompt_tokens'] / 1e6:.1f} / {used['completion_tokens'] / 1e6:.1f}"
    assert row[6:] == ["-", tokens, f"{manifest['language_model']['model']} ({manifest['sentences_accepted']:,})"]


def test_a_page_gets_the_table(tmp_path: Path):
    shutil.copy(RELEASES / "README.md", tmp_path / "README.md")
    begins, ends = markers_of(versions_table.PART)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    (tmp_path / "README.md").write_text(
        f"{text.split(begins)[0]}{begins}\n{ends}{text.split(ends)[1]}", encoding="utf-8"
    )
    versions_table.main([str(RELEASES), "--into", str(tmp_path / "README.md")])
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == text


def test_a_folder_without_versions(tmp_path: Path):
    with pytest.raises(StageError, match="holds no dataset version"):
        versions_table.read_versions(tmp_path)
