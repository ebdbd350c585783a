"""Prompt families from the command to the rows: what each asks for, and where its text is kept."""

import pyarrow.parquet as pq
import pytest

from dataset_builder import build
from dataset_builder.diff import compare
from dataset_builder.esco import read_esco
from dataset_builder.plan import make_plan
from dataset_builder.prompt_families import FAMILIES
from dataset_builder.schema import PAIRS_FILES, DatasetManifest
from dataset_builder.stub_server import StubBehaviour, StubServer

SAMPLE = "dataset_builder/sample_esco"


@pytest.fixture
def build_sample(repo, tmp_path):
    """Builds a dataset from the sample of ESCO with a server of ten lines; returns its folder and the requests."""

    def run(*more):
        given = ["--esco", repo / SAMPLE, "--out", tmp_path / "d", "--version", "0.1.0", "--model", "stub"]
        with StubServer(StubBehaviour(lines=10)) as server:
            build.main([str(one) for one in [*given, "--base-url", server.url, *more]])
            return tmp_path / "d", server.requests

    return run


def test_co_mentions_become_rows_of_two_or_three_skills_that_one_occupation_needs(build_sample, repo):
    from datasets import load_dataset

    folder, requests = build_sample("--families", "co-mention:2")
    release = read_esco(repo / SAMPLE)
    asks = make_plan(release, {"co-mention": 2}).asks
    assert requests == len(asks) > 50
    labels = {skill.uri: skill.label for skill in release.skills}
    needed_together = [{labels[uri] for uri in one.essential_skills} for one in release.occupations]
    rows = [row for split in load_dataset(str(folder)).values() for row in split]
    assert {len(row["skills"]) for row in rows} == {2, 3}
    for row in rows:
        assert row["family"] == "co-mention"
        assert row["skills"][0] == row["skill"] == labels[row["skill_uri"]]
        assert len(set(row["skills"])) == len(row["skills"])
        assert any(set(row["skills"]) <= skills for skills in needed_together)
    # Each sentence has one row for each of its skills.
    of_sentence = {}
    for row in rows:
        of_sentence.setdefault(row["sentence"], []).append(row)
    assert all({row["skill"] for row in those} == set(those[0]["skills"]) for those in of_sentence.values())
    assert DatasetManifest.load(folder).sentences_accepted == len(of_sentence)


def test_the_card_counts_the_skills_that_have_rows_beside_those_that_were_asked_for(build_sample):
    """One of two skills is asked about, with two partners: each of the three has rows of its own."""
    folder, _ = build_sample("--families", "co-mention:2", "--skills-limit", "2")
    manifest, card = DatasetManifest.load(folder), (folder / "README.md").read_text(encoding="utf-8")
    with_rows = {uri for path in PAIRS_FILES.values() for uri in pq.read_table(folder / path)["skill_uri"].to_pylist()}
    assert (manifest.skills.accepted, manifest.skills_with_rows, len(with_rows)) == (1, 3, 3)
    assert "for 3 of the\n" in card
    assert "skills with a sentence | 3 |" in compare(folder, folder)


def test_the_paper_family_asks_for_ten_lines_in_one_request(build_sample):
    """5 skills, 5 requests, 50 sentences written."""
    folder, requests = build_sample("--families", "paper", "--sentences-per-skill", "10", "--skills-limit", "5")
    manifest = DatasetManifest.load(folder)
    assert (requests, manifest.tokens.requests, manifest.sentences_written) == (5, 5, 50)
    assert manifest.replies == {"as asked": 5}
    assert "numbered 1 to 10" in FAMILIES["paper"].sheets[0].system


def test_the_text_of_every_family_asked_is_in_manifest_and_card(build_sample):
    """2 + 1 + 1 + 1 + 2 sheets, each with its system text, worked examples and version."""
    folder, _ = build_sample("--families", ",".join(FAMILIES), "--skills-limit", "12")
    manifest, card = DatasetManifest.load(folder), (folder / "README.md").read_text(encoding="utf-8")
    sheets = [(family, number, sheet) for family in FAMILIES.values() for number, sheet in enumerate(family.sheets, 1)]
    assert len(manifest.prompts) == len(sheets) == 7
    for prompt, (family, number, sheet) in zip(manifest.prompts, sheets, strict=True):
        assert (prompt.family, prompt.version) == (family.name, f"{family.version} sheet {number}")
        assert (prompt.system, prompt.user) == (sheet.readable(), sheet.user)
        assert sheet.system in prompt.system
        assert all(answer in prompt.system for _, answer in sheet.examples)
        assert f"### {family.name} {family.version} sheet {number}\n\n```text\n{prompt.system}\n" in card
        assert f"[user]\n{sheet.user}\n```" in card
    assert manifest.families == dict.fromkeys(FAMILIES, 4)
