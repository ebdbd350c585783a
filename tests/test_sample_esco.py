"""The sample of ESCO that the quick run and the tests read is whole, and is read as it should be."""

import csv
from pathlib import Path

import pytest

from dataset_builder.contract import sha256_of_file, sha256_of_lines
from dataset_builder.esco import EscoRelease, read_esco

SAMPLE = "dataset_builder/sample_esco"


@pytest.fixture(scope="module")
def sample() -> EscoRelease:
    return read_esco(Path(__file__).resolve().parent.parent / SAMPLE)


def test_counts(sample: EscoRelease):
    """125 skills, 14 occupations, 155 groups; 10 labels end in a space, 3 hold a comma, none lacks a description."""
    assert (len(sample.skills), len(sample.occupations), len(sample.group_labels)) == (125, 14, 155)
    assert sample.notes == {
        "labels with outer whitespace stripped": 10,
        "labels with commas": 3,
        "skills without description": 0,
        "preferred labels shared by several skills": 0,
    }


def test_version_comes_from_version_txt(sample: EscoRelease):
    assert (sample.version, sample.language) == ("1.1.0-sample", "en")


def test_label_space_keeps_file_order(sample: EscoRelease, repo: Path):
    with (repo / SAMPLE / "skills_en.csv").open(encoding="utf-8", newline="") as file:
        written = [row["preferredLabel"] for row in csv.DictReader(file)]
    assert sample.labels == [label.strip() for label in written]
    assert sample.labels_sha256 == sha256_of_lines(sample.labels)
    assert {"plan ", "handle knives ", "provide care for a particular patient group "} <= set(written)


def test_awkward_labels_survive(sample: EscoRelease):
    assert {"SQL", "C++", "CSS", "R", "GDPR", "plan", "handle knives"} <= set(sample.labels)
    assert "data extraction, transformation and loading tools" in sample.labels
    assert "promote ideas, products, services" in sample.labels


def test_labels_have_no_outer_whitespace_and_are_not_repeated(sample: EscoRelease):
    for skill in sample.skills:
        labels = [skill.label, *skill.alternative_labels]
        assert labels == [label.strip() for label in labels]
        assert len(set(labels)) == len(labels)


def test_one_skill_in_full(sample: EscoRelease):
    """ESCO lists SQL itself among its alternative labels; 4 lines less that one leaves 3."""
    skill = next(skill for skill in sample.skills if skill.label == "SQL")
    assert skill.uri == "http://data.europa.eu/esco/skill/598de5b0-5b58-4ea7-8058-a4bc4d18c742"
    assert skill.alternative_labels == ("Informix 4GL/SQL", "SEQUEL", "Subquery")
    assert (skill.skill_type, skill.reuse_level) == ("knowledge", "sector-specific")
    assert sample.by_uri[skill.uri] is skill


def test_skill_types(sample: EscoRelease):
    assert {skill.skill_type for skill in sample.skills} == {"knowledge", "competence"}


def test_every_description_is_one_plain_sentence(sample: EscoRelease):
    for skill in sample.skills:
        assert 30 < len(skill.description) < 160, skill.label
        assert skill.description.endswith("."), skill.label


def test_occupations_need_skills_of_the_sample(sample: EscoRelease):
    """93 essential + 23 optional links = 116; at least 3 essential skills for each of the 14 occupations."""
    essential = [uri for occupation in sample.occupations for uri in occupation.essential_skills]
    optional = [uri for occupation in sample.occupations for uri in occupation.optional_skills]
    assert set(essential + optional) <= set(sample.by_uri)
    assert len(essential) + len(optional) == 116
    assert min(len(occupation.essential_skills) for occupation in sample.occupations) >= 3


def test_every_link_upwards_leads_to_something_named(sample: EscoRelease):
    named = set(sample.group_labels) | set(sample.by_uri)
    assert {parent for parents in sample.broader.values() for parent in parents} <= named


def test_groups_go_up_to_the_four_pillars(sample: EscoRelease):
    tops = {label for uri, label in sample.group_labels.items() if uri not in sample.broader}
    assert tops == {
        "knowledge",
        "skills",
        "transversal skills and competences",
        "language skills and knowledge",
    }


def test_source_names_the_files_by_hash(sample: EscoRelease, repo: Path):
    assert sample.source.skills == 125
    assert sample.source.occupations == 14
    assert set(sample.source.file_sha256) == {path.name for path in (repo / SAMPLE).glob("*.csv")}
    assert sample.source.file_sha256["skills_en.csv"] == sha256_of_file(repo / SAMPLE / "skills_en.csv")
