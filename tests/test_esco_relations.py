"""Occupations and relations of ESCO: wrong rows are named, and what leads nowhere is left out and counted."""

from pathlib import Path

import pytest

from dataset_builder.contract import StageError
from dataset_builder.esco import read_esco
from tests.test_esco import URI, skill_row, write_skills

NEEDS = "occupationUri,relationType,skillType,skillUri"
LEFT_OUT = "relations with unknown or obsolete concepts left out"


@pytest.fixture
def release(tmp_path: Path):
    """Writes a release of skills 1 and 2, skill 9 obsolete, and bakers; the arguments replace one file's rows."""

    def write(
        occupations: tuple[str, ...] = ("occ/1,baker,released",),
        needs: tuple[str, ...] = (f"occ/1,essential,knowledge,{URI}1",),
        groups: tuple[str, ...] | None = ("group/1,baking,released",),
        broader: tuple[str, ...] = (f"{URI}1,group/1",),
        related: tuple[str, ...] = (f"{URI}1,optional,{URI}2",),
    ) -> Path:
        write_skills(tmp_path, skill_row(1), skill_row(2), skill_row(9, status="obsolete"))
        concepts = "conceptUri,preferredLabel,status"
        write_skills(tmp_path, *occupations, header=concepts, name="occupations_en.csv")
        write_skills(tmp_path, *needs, header=NEEDS, name="occupationSkillRelations.csv")
        if groups is not None:
            write_skills(tmp_path, *groups, header=concepts, name="skillGroups_en.csv")
        write_skills(tmp_path, *broader, header="conceptUri,broaderUri", name="broaderRelationsSkillPillar.csv")
        links = "originalSkillUri,relationType,relatedSkillUri"
        write_skills(tmp_path, *related, header=links, name="skillSkillRelations.csv")
        return tmp_path

    return write


def test_a_release_without_faults_has_no_further_notes(release):
    read = read_esco(release())
    assert [(one.label, one.essential_skills) for one in read.occupations] == [("baker", (f"{URI}1",))]
    assert (read.broader, read.related) == ({f"{URI}1": ("group/1",)}, {f"{URI}1": (f"{URI}2",)})
    assert [what for what in read.notes if "relation" in what or "occupation" in what or "group" in what] == []


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ({"occupations": ("occ/1,baker,", " ,cook,")}, "occupations_en.csv line 3: column 'conceptUri' is empty"),
        ({"occupations": ("occ/1, ,",)}, "occupations_en.csv line 2: column 'preferredLabel' is empty"),
        ({"occupations": ("occ/1,a,", "occ/1,b,")}, "occupations_en.csv line 3: column 'conceptUri' repeats occ/1"),
        ({"needs": (f",essential,,{URI}1",)}, "occupationSkillRelations.csv line 2: column 'occupationUri' is empty"),
        ({"needs": ("occ/1,optional,, ",)}, "occupationSkillRelations.csv line 2: column 'skillUri' is empty"),
        ({"needs": (f"occ/1,,,{URI}1",)}, "occupationSkillRelations.csv line 2: column 'relationType' is empty"),
        (
            {"needs": (f"occ/1,essential,,{URI}1", f"occ/1,vital,,{URI}1")},
            "occupationSkillRelations.csv line 3: column 'relationType' is 'vital', neither essential nor optional",
        ),
        ({"groups": (",baking,",)}, "skillGroups_en.csv line 2: column 'conceptUri' is empty"),
        ({"broader": (f"{URI}1,",)}, "broaderRelationsSkillPillar.csv line 2: column 'broaderUri' is empty"),
        ({"related": (f",optional,{URI}1",)}, "skillSkillRelations.csv line 2: column 'originalSkillUri' is empty"),
        ({"related": (f"{URI}1,near,{URI}2",)}, "skillSkillRelations.csv line 2: column 'relationType' is 'near'"),
    ],
)
def test_a_wrong_row_is_named_by_file_line_and_column(release, rows, error):
    with pytest.raises(StageError) as caught:
        read_esco(release(**rows))
    assert error in str(caught.value)


def test_obsolete_occupations_are_left_out_with_their_relations(release):
    """Of three occupations one is obsolete; its relation, one to an obsolete skill and two to unknown ones go: 4."""
    read = read_esco(
        release(
            occupations=("occ/1,baker,released", "occ/2,lamplighter,obsolete", "occ/3,cook,"),
            needs=(
                f"occ/1,essential,knowledge,{URI}1",
                f"occ/2,essential,knowledge,{URI}1",
                f"occ/3,optional,knowledge,{URI}9",
                f"occ/3,optional,knowledge,{URI}777",
                f"occ/777,optional,knowledge,{URI}2",
                f"occ/3,optional,knowledge,{URI}2",
            ),
        )
    )
    assert [(one.label, one.essential_skills, one.optional_skills) for one in read.occupations] == [
        ("baker", (f"{URI}1",), ()),
        ("cook", (), (f"{URI}2",)),
    ]
    assert read.notes["obsolete occupations left out"] == 1
    assert read.notes[LEFT_OUT] == 4


def test_links_to_what_is_obsolete_or_unknown_are_left_out(release):
    """Upwards two of four go (an obsolete group, an unknown one), between skills two of three."""
    read = read_esco(
        release(
            groups=("group/1,baking,", "group/2,sealing letters,obsolete"),
            broader=(f"{URI}1,group/1", f"{URI}1,group/2", f"{URI}2,group/777", f"{URI}2,{URI}1"),
            related=(f"{URI}1,optional,{URI}9", f"{URI}777,optional,{URI}1", f"{URI}1,essential,{URI}2"),
        )
    )
    assert read.broader == {f"{URI}1": ("group/1",), f"{URI}2": (f"{URI}1",)}
    assert read.related == {f"{URI}1": (f"{URI}2",)}
    assert read.group_labels == {"group/1": "baking"}
    assert (read.notes["obsolete skill groups left out"], read.notes[LEFT_OUT]) == (1, 4)


def test_without_a_file_of_groups_only_what_is_obsolete_is_left_out(release):
    read = read_esco(release(groups=None, broader=(f"{URI}1,group/1", f"{URI}9,group/1")))
    assert read.broader == {f"{URI}1": ("group/1",)}
    assert read.notes[LEFT_OUT] == 1


def test_a_relation_that_is_repeated_counts_once(release):
    """A skill that an occupation needed twice would be its own partner in a co-mention."""
    row = f"occ/1,essential,knowledge,{URI}1"
    read = read_esco(release(needs=(row, row), related=(f"{URI}1,optional,{URI}2",) * 3))
    assert read.occupations[0].essential_skills == (f"{URI}1",)
    assert read.related == {f"{URI}1": (f"{URI}2",)}
    assert read.notes["repeated relations left out"] == 1 + 2
