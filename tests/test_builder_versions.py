"""Version numbers say what changed, and the diff shows it; any taxonomy comes in as a CSV."""

import pyarrow.parquet as pq
import pytest
import yaml

from dataset_builder import diff
from dataset_builder.contract import StageError
from dataset_builder.dataset_card import render_card, size_category
from dataset_builder.dataset_folder import write_tables
from dataset_builder.esco import EscoRelease, Skill
from dataset_builder.schema import EscoSource, PromptText
from dataset_builder.sentences import Sentence
from dataset_builder.taxonomy_csv import read_taxonomy
from dataset_builder.versions import changes_since, check_version, needed_step
from tests.small_dataset import small_manifest

SKILLS = tuple(Skill(uri=f"urn:{n}", label=f"label {n}") for n in range(4))
NEWER_ESCO = EscoSource(version="1.1.1", language="en", skills=10, occupations=0, file_sha256={})
ANOTHER_PROMPT = PromptText(family="styled", version="2.0 sheet 1", system="Write.", user="{skill}")


def write_dataset(folder, texts, skills=SKILLS, **changes):
    sentences = [Sentence(text, (skills[n % len(skills)],), "duty", "styled") for n, text in enumerate(texts)]
    release = EscoRelease(version="1", language="en", skills=tuple(skills))
    folder.mkdir()
    manifest = small_manifest(write_tables(folder, sentences, release.skills), **changes)
    manifest.save(folder)
    return manifest


@pytest.fixture
def first(tmp_path):
    return write_dataset(tmp_path / "v1", [f"line {n}" for n in range(8)])


def test_the_same_rows_need_no_step(first):
    assert needed_step(first, first).step == "none"


def test_more_rows_are_a_minor_step(first, tmp_path):
    more = write_dataset(tmp_path / "v2", [f"line {n}" for n in range(12)], version="1.1.0")
    assert needed_step(first, more).step == "minor"
    check_version(tmp_path / "v1", more, tmp_path / "v2")
    with pytest.raises(StageError, match="hides a minor change") as caught:
        check_version(tmp_path / "v1", more.model_copy(update={"version": "1.0.1"}), tmp_path / "v2")
    assert caught.value.remedy == "Use 1.1.0 or above"


@pytest.mark.parametrize("change", [{"esco": NEWER_ESCO}, {"prompts": [ANOTHER_PROMPT]}])
def test_another_esco_or_prompt_is_a_major_step(first, tmp_path, change):
    other = first.model_copy(update={"version": "1.5.0", **change})
    assert needed_step(first, other).step == "major"
    with pytest.raises(StageError, match="hides a major change") as caught:
        check_version(tmp_path / "v1", other, tmp_path / "v1")
    assert caught.value.remedy == "Use 2.0.0 or above"
    check_version(tmp_path / "v1", other.model_copy(update={"version": "2.0.0"}), tmp_path / "v1")


def taxonomy(version, file, digest):
    """What a manifest says of skills from one file, whose hash begins with `digest`."""
    return EscoSource(version=version, language="en", skills=4, occupations=0, file_sha256={file: f"{digest:0<64}"})


def test_an_edited_taxonomy_is_a_major_step(first, tmp_path):
    old = first.model_copy(update={"esco": taxonomy("nursing", "nursing.csv", "a1")})
    old.save(tmp_path / "v1")
    edited = old.model_copy(update={"version": "1.1.0", "esco": taxonomy("nursing", "nursing.csv", "b2")})
    change = "nursing (en), a10000000000 -> nursing (en), b20000000000"
    with pytest.raises(StageError, match="hides a major change") as caught:
        check_version(tmp_path / "v1", edited, tmp_path / "v1")
    assert change in str(caught.value)
    assert changes_since(old, edited)[1] == f"taxonomy: {change}"
    check_version(tmp_path / "v1", edited.model_copy(update={"version": "2.0.0"}), tmp_path / "v1")


@pytest.mark.parametrize(("version", "step"), [("1.1.0", "none"), ("unknown", "major"), ("1.1.0-sample", "major")])
def test_files_of_an_official_esco_release_are_not_compared(first, version, step):
    """Such a release never changes, whichever zips of it were read; ESCO's files without its number may."""
    old, new = (
        first.model_copy(update={"esco": taxonomy(version, *file)}) for file in (("a.zip", "a1"), ("b.zip", "b2"))
    )
    assert needed_step(old, new).step == step


def test_below_one_a_minor_step_announces_anything(tmp_path):
    old = write_dataset(tmp_path / "old", [f"line {n}" for n in range(8)], version="0.2.0")
    newer = old.model_copy(update={"version": "0.3.0", "esco": NEWER_ESCO})
    check_version(tmp_path / "old", newer, tmp_path / "old")


def test_another_column_is_a_major_step(first, tmp_path):
    """The old folder's skills lack the column `type`."""
    more = write_dataset(tmp_path / "v2", [f"line {n}" for n in range(12)], version="1.1.0")
    path = tmp_path / "v1" / "skills" / "skills.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["type"]), path)
    with pytest.raises(StageError, match=r"hides a major change \(columns of skills/skills.parquet: uri string"):
        check_version(tmp_path / "v1", more, tmp_path / "v2")
    check_version(tmp_path / "v1", more.model_copy(update={"version": "2.0.0"}), tmp_path / "v2")
    assert "step of the version: major (columns of" in diff.compare(tmp_path / "v1", tmp_path / "v2")


def test_changes_for_the_card(first, tmp_path):
    """8 lines and then 12; another model; ESCO, prompts and covered skills as before."""
    model = first.language_model.model_copy(update={"model": "larger"})
    more = write_dataset(tmp_path / "v2", [f"line {n}" for n in range(12)], version="1.1.0", language_model=model)
    assert changes_since(first, more) == ["since 1.0.0", "model: tiny -> larger", "pairs: 8 -> 12"]
    assert changes_since(first, first) == ["since 1.0.0", "other rows of the same kind"]


def test_the_diff_counts_rows_and_skills_of_both(first, tmp_path, capsys):
    """8 lines against 6 of them and 1 new: 2 gone, 1 new, 6 in both; one label renamed, one skill new."""
    renamed = (Skill(uri="urn:0", label="new name"), *SKILLS[1:], Skill(uri="urn:4", label="label 4"))
    texts = [f"line {n}" for n in range(4)]
    sentences = [Sentence(text, (renamed[n],), "duty", "styled") for n, text in enumerate(texts)]
    sentences += [Sentence(f"line {n}", (renamed[n % 4],), "duty", "styled") for n in (4, 5)]
    sentences += [Sentence("another", (renamed[4],), "duty", "styled")]
    (tmp_path / "v2").mkdir()
    files = write_tables(tmp_path / "v2", sentences, renamed)
    small_manifest(files, version="1.1.0", sentences_rejected={"too long": 4}).save(tmp_path / "v2")
    diff.main([str(tmp_path / "v1"), str(tmp_path / "v2")])
    out = capsys.readouterr().out
    for line in (
        "rows only in the old one: 2",
        "rows only in the new one: 1",
        "rows in both: 6",
        "skills of the label space new: 1",
        "skills renamed: 1",
        "  label 0 -> new name",
        "| version * | 1.0.0 | 1.1.0 |",
        "| rejected: too long * | 0 | 4 |",
        "step of the version: minor (other rows)",
    ):
        assert line in out
    with pytest.raises(StageError, match="does not exist"):
        diff.compare(tmp_path / "v1", tmp_path / "nowhere")


@pytest.mark.parametrize("path", ["pairs/train.parquet", "pairs/validation.parquet", "skills/skills.parquet"])
def test_a_file_that_is_no_parquet_is_named(first, tmp_path, path):
    """As Git leaves one where its large files were not fetched."""
    (tmp_path / "v1" / path).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 3\n")
    with pytest.raises(StageError, match=rf"v1/{path} cannot be read \("):
        diff.compare(tmp_path / "v1", tmp_path / "v1")


def test_the_card_states_the_manifest_and_its_front_matter_names_the_files(first):
    text = render_card(first, {"Lengths": "pictures/a.png"})
    front = yaml.safe_load(text.split("---")[1])
    assert [config["config_name"] for config in front["configs"]] == ["pairs", "skills"]
    assert front["configs"][0]["default"] is True
    assert {one["split"]: one["path"] for one in front["configs"][0]["data_files"]} == {
        "train": "pairs/train.parquet",
        "validation": "pairs/validation.parquet",
    }
    assert front["size_categories"] == ["n<1K"]
    assert front["annotations_creators"] == ["machine-generated"]
    for fact in ("8 pairs", "`tiny`", "5.0% (95% interval 2.0% to 11.0%)", "0.25 US dollars", "x / y", "Write lines."):
        assert fact in text
    assert "![Lengths](pictures/a.png)" in text
    assert "judged" not in text


@pytest.mark.parametrize(("rows", "name"), [(999, "n<1K"), (1000, "1K<n<10K"), (138_260, "100K<n<1M")])
def test_size_categories(rows, name):
    assert size_category(rows) == name


def test_any_taxonomy_as_a_csv(tmp_path):
    path = tmp_path / "nursing-2.csv"
    path.write_text(
        "id,label,description,alternative_labels\n"
        'n1,"Wound care ",Clean and  dress wounds.,dressing wounds | wound dressing\n'
        'n2,"Lift, safely",,"lifting\nlifting\nLift, safely"\n'
    )
    release = read_taxonomy(path)
    assert (release.version, release.source.name) == ("nursing-2", "nursing-2 (en)")
    assert release.skills[0] == Skill(
        "n1", "Wound care", ("dressing wounds", "wound dressing"), (), "Clean and dress wounds."
    )
    assert release.skills[1].alternative_labels == ("lifting",)
    assert release.notes["labels with outer whitespace stripped"] == 1
    assert release.notes["labels with commas"] == 1
    assert release.notes["skills without description"] == 1


def test_a_label_over_several_lines_is_one_line(tmp_path):
    """Blanks within a line stay as they are: they are part of what was asked."""
    (tmp_path / "t.csv").write_text('id,label\n1,"bake \n\n bread"\n2,sweep  floors\n')
    release = read_taxonomy(tmp_path / "t.csv")
    assert release.labels == ["bake bread", "sweep  floors"]
    assert release.notes["labels with outer whitespace stripped"] == 0


def test_two_columns_are_enough(tmp_path):
    (tmp_path / "t.csv").write_text("id,label\n1,bake\n")
    assert read_taxonomy(tmp_path / "t.csv").labels == ["bake"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,label\n1,bake\n", "no column 'id'"),
        ("id,label\n1,\n", "line 2: column 'label' is empty"),
        ("id,label\n1,bake\n1,cook\n", "line 3: column 'id' repeats 1"),
        ("id,label\n1,bake,more\n", "line 2: more cells"),
        ("id,label\n", "holds no skill"),
        ('id,label\n1,bake\n2,"cook"x\n', "line 3: ',' expected after"),
        ('id,label\n1,"bake\n', "line 2: a quotation mark is never closed"),
        ("id,label\n1\n", "line 2: the row ends before column 'label'"),
        ("id,label,description\n1,bake,\n2,cook\n", "line 3: the row ends before column 'description'"),
    ],
)
def test_a_wrong_row_is_named_by_file_line_and_column(tmp_path, text, words):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(StageError, match=words) as caught:
        read_taxonomy(tmp_path / "t.csv")
    assert "t.csv" in str(caught.value)
