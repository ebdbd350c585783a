import csv
import dataclasses
import json
from pathlib import Path

import pytest

from dataset_builder.contract import StageError
from dataset_builder.esco import Occupation
from dataset_builder.schema import fold_of
from tests.tiny_encoder import tiny_esco, tiny_labels, write_tiny_dataset
from training.dataset_rows import DatasetRows, Row, read_dataset, split_revision
from training.label_space import LabelSpace, label_space_of_esco, label_space_of_rows
from training.pair_sources import Inputs
from training.pairs import StagePairs, collect_pairs
from training.recipe import Source, Stage
from training.skillskape import read_skillskape

LABELS = label_space_of_esco(tiny_esco())


def inputs(rows: list[Row] | None = None, **more) -> Inputs:
    rows = rows or [Row(f"We {label}.", label, (label,)) for label in tiny_labels()]
    dataset = DatasetRows("tiny", None, "0.0.1", "0" * 64, tuple(rows), (), "0.0.1")
    return Inputs(labels=LABELS, dataset=dataset, esco=tiny_esco(), **more)


def stage(**sources) -> Stage:
    return Stage("one", {name: Source(**(values or {})) for name, values in sources.items()})


def texts(pairs: StagePairs) -> list[str]:
    return [pair.text for pair in pairs.pairs]


def test_sources_keep_the_recipe_s_order_and_are_counted():
    found = collect_pairs(stage(descriptions={}, synthetic={}), inputs(), seed=1)
    assert [(count.name, count.pairs, count.skills) for count in found.counts] == [
        ("descriptions", 24, 24),
        ("synthetic", 24, 24),
    ]
    assert found.pairs[0].text == "The skill to bake bread and to teach it."
    assert LABELS.labels[found.pairs[0].skill] == "bake bread"


def test_co_mentions_are_apart_from_single_skills():
    rows = [
        Row("Bake bread.", "bake bread", ("bake bread",)),
        Row("Bake bread and weld steel.", "bake bread", ("bake bread", "weld steel")),
    ]
    assert texts(collect_pairs(stage(synthetic={}), inputs(rows), 1)) == ["Bake bread."]
    (pair,) = collect_pairs(stage(co_mentions={}), inputs(rows), 1).pairs
    assert pair.skills == (LABELS.id_of("bake bread"), LABELS.id_of("weld steel"))


def test_shared_alternative_labels_know_all_their_skills():
    """`oven work` belongs to two skills: each is known to be asked for by the other's pair."""
    esco = tiny_esco()
    shared = tuple(dataclasses.replace(skill, alternative_labels=("oven work",)) for skill in esco.skills[:2])
    changed = dataclasses.replace(inputs(), esco=dataclasses.replace(esco, skills=shared + esco.skills[2:]))
    first, second, *_ = collect_pairs(stage(alternative_labels={}), changed, 1).pairs
    assert (first.skills, second.skills) == ((0, 1), (1, 0))


def test_a_name_of_one_skill_that_is_an_alternative_label_of_another_knows_both():
    esco = tiny_esco()
    named = dataclasses.replace(esco.skills[0], alternative_labels=(esco.skills[1].label,))
    changed = dataclasses.replace(inputs(), esco=dataclasses.replace(esco, skills=(named, *esco.skills[1:])))
    first, *_ = collect_pairs(stage(alternative_labels={}), changed, 1).pairs
    assert (first.skill, first.skills) == (0, (0, 1))


def test_rows_of_one_text_know_each_other_s_skills():
    """As of the paper's dataset, which has one skill a row; whatever the case and the blanks of the text."""
    rows = [
        Row("We bake and weld", "bake bread", ("bake bread",)),
        Row("We sail", "sail ships", ("sail ships",)),
        Row("we  bake and weld", "weld steel", ("weld steel",)),
    ]
    bake, weld = (LABELS.id_of(label) for label in ("bake bread", "weld steel"))
    first, alone, second = collect_pairs(stage(synthetic={}), inputs(rows), 1).pairs
    assert (first.skills, second.skills, len(alone.skills)) == ((bake, weld), (weld, bake), 1)
    hidden = fold_of(next(uri for uri, skill in LABELS.ids_by_uri.items() if skill == bake))
    left = collect_pairs(stage(synthetic={}), inputs(rows), 1, held_out_folds=[hidden]).pairs
    assert not any("bake" in pair.text for pair in left)


def test_the_same_description_of_two_skills_and_a_name_that_two_share_know_both():
    esco = tiny_esco()
    same = tuple(dataclasses.replace(skill, description="Same words.") for skill in esco.skills[:2])
    named = dataclasses.replace(esco.skills[2], alternative_labels=(esco.skills[3].label,))
    changed = dataclasses.replace(inputs(), esco=dataclasses.replace(esco, skills=(*same, named, *esco.skills[3:])))
    first, second, *_ = collect_pairs(stage(descriptions={}), changed, 1).pairs
    assert (first.skills, second.skills) == ((0, 1), (1, 0))
    names = collect_pairs(stage(labels={}), changed, 1).pairs
    assert [pair.skills for pair in names[2:4]] == [(2,), (3, 2)]


def test_skills_with_enough_pairs_can_be_asked_for():
    """Two sentences for one skill and one for another: of the skills with at least two there is one."""
    rows = [Row(f"bake {n}", "bake bread", ("bake bread",)) for n in range(2)]
    rows.append(Row("weld", "weld steel", ("weld steel",)))
    assert texts(collect_pairs(stage(synthetic={"at_least": 2}), inputs(rows), 1)) == ["bake 0", "bake 1"]


def test_weights_take_a_share_or_repeat():
    """24 pairs: weight 0.5 takes 12, weight 2.25 takes each twice and 6 once more, which makes 54."""
    assert len(collect_pairs(stage(synthetic={"weight": 0.5}), inputs(), 1).pairs) == 12
    found = texts(collect_pairs(stage(synthetic={"weight": 2.25}), inputs(), 1))
    assert len(found) == 54
    assert sorted({found.count(text) for text in found}) == [2, 3]


def test_limits_are_seeded():
    def drawn(seed: int) -> list[str]:
        return texts(collect_pairs(stage(synthetic={"limit": 5}), inputs(), seed))

    assert len(drawn(1)) == 5
    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_at_most_so_many_pairs_a_skill():
    found = collect_pairs(stage(alternative_labels={"per_skill": 1}), inputs(), 1)
    assert len(found.pairs) == 24
    assert len({pair.skill for pair in found.pairs}) == 24


def test_so_many_skills_are_kept_with_all_their_pairs():
    """Two alternative labels a skill: 5 skills are 10 pairs, and weight 1.5 makes 15 of them."""
    found = collect_pairs(stage(alternative_labels={"skills": 5}), inputs(), 1)
    assert (len(found.pairs), len({pair.skill for pair in found.pairs})) == (10, 5)
    assert len(collect_pairs(stage(alternative_labels={"skills": 5, "weight": 1.5}), inputs(), 1).pairs) == 15


def test_styles_are_chosen():
    rows = [Row(f"{style} bread", "bake bread", ("bake bread",), style=style) for style in ("explicit", "implicit")]
    assert texts(collect_pairs(stage(synthetic={"styles": ("implicit",)}), inputs(rows), 1)) == ["implicit bread"]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"styles": ("implict",)}, r"styles: \[implict\] keeps none of its 2 pairs. Styles there: explicit, implicit"),
        ({"at_least": 3}, "at_least: 3 keeps none of its 2 pairs. Most a skill: 2"),
        ({"round_trip": 1}, "round_trip: 1 keeps none of its 2 pairs"),
        ({"weight": 0.1}, "weight: 0.1 keeps none of its 2 pairs"),
    ],
)
def test_a_source_that_its_own_settings_empty_is_one_error(source: dict, words: str):
    """Beside another source, too: a tenth of two pairs is none."""
    rows = [Row(f"{style} bread", "bake bread", ("bake bread",), style=style) for style in ("explicit", "implicit")]
    with pytest.raises(StageError, match=f"source 'synthetic': {words}"):
        collect_pairs(
            stage(descriptions={}, synthetic=source), inputs(rows), 1, found_again=lambda some, _: [False] * 2
        )


def test_styles_of_a_dataset_without_any_are_one_error():
    with pytest.raises(StageError, match=r"none of its 24 pairs\. Styles there: none"):
        collect_pairs(stage(synthetic={"styles": ("implicit",)}), inputs(), 1)


def test_a_source_with_nothing_to_cut_is_no_error():
    """A dataset without sentences of several skills, whatever the recipe says of them."""
    found = collect_pairs(stage(synthetic={}, co_mentions={"styles": ("duty",), "at_least": 2}), inputs(), 1)
    assert [count.name for count in found.counts] == ["synthetic"]


def test_the_whole_stage_can_be_cut():
    limited = dataclasses.replace(stage(synthetic={}, descriptions={}), pairs_limit=10)
    assert len(collect_pairs(limited, inputs(), 1).pairs) == 10


def test_held_out_folds_are_never_seen():
    """Also not as the second skill of a sentence."""
    hidden = {skill.label for skill in tiny_esco().skills if fold_of(skill.uri) in (0, 1)}
    seen = next(label for label in tiny_labels() if label not in hidden)
    assert hidden
    rows = [Row(f"We {label}.", label, (label,)) for label in tiny_labels()]
    rows.append(Row("Both.", seen, (seen, next(iter(hidden)))))
    found = collect_pairs(stage(synthetic={}, co_mentions={}, descriptions={}), inputs(rows), 1, (0, 1))
    asked = {LABELS.labels[skill] for pair in found.pairs for skill in pair.skills}
    assert asked.isdisjoint(hidden)
    assert "Both." not in texts(found)
    assert found.left_out["held-out skill"] == 2 * len(hidden) + 1


def test_held_out_folds_need_uris():
    blind = dataclasses.replace(inputs(), labels=LabelSpace(tuple(tiny_labels()), ("",) * 24, "x"), esco=None)
    with pytest.raises(StageError, match="held_out_folds needs the skills' URIs"):
        collect_pairs(stage(synthetic={}), blind, 1, (0,))


def test_no_benchmark_sentence_is_trained_on():
    """Case, spacing and punctuation do not hide one, in whichever source it stands."""
    rows = [
        Row("* We bake  bread, daily!", "bake bread", ("bake bread",)),
        Row("We weld.", "weld steel", ("weld steel",)),
    ]
    given = inputs(rows, skillskape=[("we bake bread daily", ("bake bread",)), ("we sail", ("sail ships",))])
    found = collect_pairs(stage(synthetic={}, skillskape={}), given, 1, forbidden=["We bake bread daily."])
    assert texts(found) == ["We weld.", "we sail"]
    assert found.left_out == {"benchmark sentence": 2}


def test_labels_nobody_knows_are_counted():
    rows = [Row("We fly.", "fly kites", ("fly kites",)), Row("We bake.", "BAKE BREAD ", ("BAKE BREAD ",))]
    found = collect_pairs(stage(synthetic={}), inputs(rows), 1)
    assert texts(found) == ["We bake."]
    assert found.left_out == {"synthetic: label not in the label space": 1}


@pytest.mark.parametrize(
    ("source", "flag"),
    [
        ("skillskape", "--skillskape"),
        ("pseudo_labels", "--pseudo-labels"),
        ("descriptions", "--esco"),
        ("alternative_labels", "--esco"),
    ],
)
def test_a_source_without_its_flag_is_one_error(source: str, flag: str):
    bare = dataclasses.replace(inputs(), esco=None)
    with pytest.raises(StageError, match=f"asks for .*{flag}"):
        collect_pairs(stage(**{source: {}}), bare, 1)


def test_a_stage_with_nothing_to_train_on():
    rows = [Row("We fly.", "fly kites", ("fly kites",))]
    with pytest.raises(StageError, match="stage 'one' has no training pair"):
        collect_pairs(stage(synthetic={}), inputs(rows), 1)


def test_a_label_space_knows_labels_and_the_first_of_twins():
    space = label_space_of_rows(["b", "a ", "b", "A"], ["u1", "u2", "u3", ""], "1")
    assert space.labels == ("b", "a", "A")
    assert (space.id_of(" b "), space.id_of("A"), space.id_of("B"), space.id_of("c")) == (0, 2, 0, None)
    assert space.ids_of(["A", "c", "b", "A"]) == (2, 0)
    assert space.ids_by_uri == {"u1": 0, "u2": 1}


def test_skillskape_is_read(tmp_path: Path):
    path = tmp_path / "train.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("", "sentence", "skills"), (0, "Bake, weld.", "['bake bread', \"weld steel\"]")])
    rows = read_skillskape(str(path))
    assert rows == [("Bake, weld.", ("bake bread", "weld steel"))]
    found = collect_pairs(stage(skillskape={}), inputs(skillskape=rows), 1).pairs
    assert [(pair.text, pair.skills) for pair in found] == [("Bake, weld.", (0, 1)), ("Bake, weld.", (1, 0))]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a,b\n1,2\n", "no column 'sentence'"),
        ("sentence,skills\nx,__import__('os')\n", "line 2: column 'skills' holds no"),
    ],
)
def test_skillskape_that_is_none(tmp_path: Path, content: str, words: str):
    path = tmp_path / "train.csv"
    path.write_text(content)
    with pytest.raises(StageError, match=words):
        read_skillskape(str(path))
    path.write_bytes("sentence,skills\nBäcker,['bake bread']\n".encode("latin-1"))
    with pytest.raises(StageError, match="line 2 is not UTF-8 text"):
        read_skillskape(str(path))
    path.write_text("sentence,skills\nWe bake.\n")
    with pytest.raises(StageError, match="line 2: the row ends before column 'skills'"):
        read_skillskape(str(path))
    with pytest.raises(StageError, match="does not exist"):
        read_skillskape(str(tmp_path / "absent.csv"))


def test_a_label_that_is_there_twice_has_a_twin():
    space = LabelSpace(("a", "b", "a", "a"), ("u1", "u2", "u3", "u4"), "1")
    assert space.twins == {0: (2, 3)}
    assert space.ids_by_uri == {"u1": 0, "u2": 1, "u3": 0, "u4": 0}


def test_skills_as_text_are_refused(tmp_path: Path):
    """A CSV can hold no list: its text would be taken apart into letters."""
    path = tmp_path / "pairs.csv"
    path.write_text("sentence,skill,skills\nWe bake.,bake bread,bake bread\n")
    with pytest.raises(StageError, match="column 'skills' holds text"):
        read_dataset(str(path))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"sentence": 5, "skill": "bake"}, "column 'sentence' holds '5', which is no text"),
        ({"sentence": "We bake.", "skill": ["bake"]}, r"column 'skill' holds \"\['bake'\]\", which is no text"),
        ({"sentence": "We bake.", "skill": "bake", "skills": [None]}, "column 'skills' holds 'None', which is no text"),
        ({"sentence": "We bake.", "skill": "bake", "skills": 5}, "column 'skills' holds '5', which is no text"),
    ],
)
def test_columns_without_text_are_one_error(tmp_path: Path, row: dict, words: str):
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(StageError, match=words):
        read_dataset(str(path))


def test_gaps_in_a_column_are_left_out(tmp_path: Path):
    """A row without a skill, and one without a list of skills."""
    rows = [{"sentence": "We row.", "skill": None}, {"sentence": "We bake.", "skill": "bake", "skills": None}]
    rows.append({"sentence": "We mix.", "skill": "mix", "skills": ["bake"]})
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    assert [row.skills for row in read_dataset(str(path)).rows] == [("bake",), ("mix", "bake")]


def test_a_dataset_of_the_paper_s_shape(tmp_path: Path):
    read = read_dataset(str(write_tiny_dataset(tmp_path / "tiny.csv")))
    assert (len(read.rows), read.skills, read.version, read.id) == (96, (), "unknown", "tiny.csv")
    assert read.rows[0] == Row("We need you to bake bread.", "bake bread", ("bake bread",))


def test_a_folder_is_read_as_it_is_now(tmp_path: Path):
    """Folders of one name and one card: the cache of `datasets` takes the second for the first."""
    card = "---\nconfigs: [{config_name: pairs, data_files: [{split: train, path: pairs.csv}]}]\n---\n"
    for parent, sentence in (("one", "You bake bread."), ("two", "You mix dough."), ("one", "You knead it.")):
        folder = tmp_path / parent / "1.0.0"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "README.md").write_text(card)
        (folder / "pairs.csv").write_text(f"sentence,skill\n{sentence},bake\n")
        assert [row.sentence for row in read_dataset(str(folder)).rows] == [sentence]


def test_a_folder_of_the_paper_s_shape_is_the_same(tmp_path: Path):
    folder = tmp_path / "dataset"
    folder.mkdir()
    write_tiny_dataset(folder / "train.csv")
    one, two = read_dataset(str(folder)), read_dataset(str(write_tiny_dataset(tmp_path / "tiny.csv")))
    assert (one.rows, one.sha256) == (two.rows, two.sha256)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("text,skill\na,b\n", "no column 'sentence' .found: text, skill."),
        ("sentence,skill\n  ,bake bread\n", "holds no .sentence, skill. pair"),
    ],
)
def test_a_dataset_without_what_is_needed(tmp_path: Path, content: str, words: str):
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(StageError, match=words):
        read_dataset(str(path))


def test_datasets_that_are_none(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(StageError, match="empty is empty"):
        read_dataset(str(tmp_path / "empty"))
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(StageError, match="is not a CSV, Parquet or JSON file"):
        read_dataset(str(tmp_path / "notes.txt"))
    with pytest.raises(StageError, match="cannot be opened"):
        read_dataset(str(tmp_path / "absent"))


def test_revisions_are_split_but_not_from_paths(tmp_path: Path):
    odd = tmp_path / "a@b"
    odd.mkdir()
    assert split_revision("namespace/name@v1.0.0") == ("namespace/name", "v1.0.0")
    assert split_revision(str(odd)) == (str(odd), None)


def test_lists_of_names_know_every_skill_they_name():
    esco = tiny_esco()
    together = Occupation("urn:both", "both", tuple(skill.uri for skill in esco.skills[:2]))
    made = collect_pairs(
        stage(skill_lists={}), dataclasses.replace(inputs(), esco=dataclasses.replace(esco, occupations=(together,))), 1
    )
    listed = [pair for pair in made.pairs if len(pair.skills) > 1]
    assert {pair.skills for pair in listed} == {(0, 1), (1, 0)}
    assert len(made.pairs) == 24 + 2  # one line a skill, and a second pair for each of the two lines with two names
    assert all(pair.is_sentence for pair in made.pairs)
