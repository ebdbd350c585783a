"""The rows of the dataset folder, what became of every skill, and failed requests in their file."""

import hashlib
import json
from collections import Counter

import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from dataset_builder import schema
from dataset_builder.card import write_card
from dataset_builder.contract import StageError
from dataset_builder.dataset_folder import pair_rows, validation_sentences, write_tables
from dataset_builder.esco import EscoRelease, Occupation, Skill
from dataset_builder.filters import Report
from dataset_builder.outcomes import NO_LINE, NO_REQUEST, outcomes_of
from dataset_builder.plan import make_plan
from dataset_builder.release_folder import bare_url
from dataset_builder.sentences import Collected, Sentence
from tests.small_dataset import small_manifest

SKILLS = tuple(Skill(f"urn:{n}", f"label {n}", (f"other {n}",), skill_type="knowledge") for n in range(40))
RELEASE = EscoRelease(version="1", language="en", skills=SKILLS)


def sentence(text, *numbers):
    return Sentence(text, tuple(SKILLS[number] for number in numbers), "duty", "styled")


def test_a_sentence_with_three_skills_is_three_rows_each_with_its_skill_first():
    rows = pair_rows([sentence("a line", 0, 1, 2)])
    assert [row["skill"] for row in rows] == ["label 0", "label 1", "label 2"]
    assert [row["skills"] for row in rows] == [
        ["label 0", "label 1", "label 2"],
        ["label 1", "label 0", "label 2"],
        ["label 2", "label 0", "label 1"],
    ]
    assert {row["sentence"] for row in rows} == {"a line"}


@pytest.mark.parametrize("uri", ["urn:0", "http://data.europa.eu/esco/skill/0005c151-5b5a-4a66-8aac-60e734beb1ab"])
def test_a_fold_is_the_last_digit_of_the_uris_hash(uri):
    number = int(hashlib.sha256(uri.encode()).hexdigest(), 16)
    assert schema.fold_of(uri) == int(str(number)[-1])


def test_all_rows_of_a_sentence_are_in_one_split_and_about_two_in_a_hundred_are_validation(tmp_path):
    """1,000 sentences with two skills each, 2,000 rows: about 20 sentences, 40 rows of them, are validation."""
    sentences = [sentence(f"line {n}", n % 40, (n + 1) % 40) for n in range(1000)]
    files = {file.path: file for file in write_tables(tmp_path, sentences, RELEASE.skills)}
    tables = {split: pq.read_table(tmp_path / path) for split, path in schema.PAIRS_FILES.items()}
    texts = {split: set(table["sentence"].to_pylist()) for split, table in tables.items()}
    assert not texts["train"] & texts["validation"]
    assert len(texts["train"] | texts["validation"]) == 1000
    assert 8 <= len(texts["validation"]) <= 35
    assert tables["train"].num_rows + tables["validation"].num_rows == 2000
    assert set(Counter(tables["validation"]["sentence"].to_pylist()).values()) == {2}
    for path, file in files.items():
        assert file.rows == pq.read_metadata(tmp_path / path).num_rows
        assert file.sha256 == hashlib.sha256((tmp_path / path).read_bytes()).hexdigest()
        assert file.bytes == (tmp_path / path).stat().st_size
    skills = pq.read_table(tmp_path / schema.SKILLS_FILE).to_pylist()
    assert skills[3] == {"uri": "urn:3", "label": "label 3", "alternative_labels": ["other 3"], "type": "knowledge"}
    assert [row["uri"] for row in skills] == [skill.uri for skill in SKILLS]


def test_the_order_of_sentences_changes_no_byte(tmp_path):
    sentences = [sentence(f"line {n}", n % 40) for n in range(200)]
    for name, given in (("a", sentences), ("b", sentences[::-1])):
        write_tables(tmp_path / name, given, RELEASE.skills)
    for path in (*schema.PAIRS_FILES.values(), schema.SKILLS_FILE):
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()


def test_a_folder_is_not_opened_from_the_cache_of_another_with_its_name_and_size(tmp_path):
    """Two folders named `d` whose files differ in a letter: `datasets` knows a folder by its name and card alone."""
    sizes, texts = [], []
    for letter in "xy":
        folder = tmp_path / letter / "d"
        files = write_tables(folder, [sentence(f"line {n}{letter}", n) for n in range(9)], SKILLS[:9])
        write_card(folder, small_manifest(files))
        sizes.append([file.bytes for file in files])
        texts.append(load_dataset(str(folder))["train"]["sentence"][0])
    assert sizes[0] == sizes[1]
    assert texts == ["line 0x", "line 0y"]


def test_no_split_is_ever_empty():
    assert len(validation_sentences([sentence("one", 0), sentence("two", 1)])) == 1


def test_every_skill_has_one_outcome_and_the_sums_match():
    """Of six: two accepted (one as a partner), one rejected by a filter, one without a line, one failed, one not asked.

    In the co-mention family alone, skill 5 has no partner, so there is no request for it.
    """
    skills = SKILLS[:6]
    occupation = Occupation("urn:o", "o", tuple(skill.uri for skill in skills[:5]))
    release = EscoRelease(version="1", language="en", skills=skills, occupations=(occupation,))
    plan = make_plan(release, {"co-mention": 2})
    assert [ask.skills[0].uri for ask in plan.asks] == ["urn:0", "urn:1", "urn:2", "urn:3", "urn:4"]
    report = Report()
    report.reject("too short", sentence("x", 2))
    collected = Collected(failed={4: "http 500"})
    outcomes = outcomes_of(plan, collected, [sentence("good", 0, 1)], report)
    assert outcomes.accepted == 2
    assert outcomes.rejected == {"too short": 1, NO_LINE: 1, NO_REQUEST: 1}
    assert outcomes.failed == {"http 500": 1}
    assert (
        outcomes.accepted + sum(outcomes.rejected.values()) + sum(outcomes.failed.values()) == outcomes.requested == 6
    )


@pytest.mark.parametrize(
    ("url", "bare"),
    [
        ("http://me:secret@127.0.0.1:8000/v1?key=sk-1#x", "http://127.0.0.1:8000/v1"),
        ("https://api.example.com/v1", "https://api.example.com/v1"),
        ("http://me@[::1]:8000/v1", "http://[::1]:8000/v1"),
    ],
)
def test_the_manifest_names_the_server_without_credentials(url, bare):
    assert bare_url(url) == bare


def test_a_build_without_a_sentence_names_what_was_wrong_with_the_replies(tmp_path):
    """Eight requests, one reply each, three of them empty: the filters had nothing to reject."""
    from dataset_builder import build
    from dataset_builder.stub_server import StubServer

    (tmp_path / "t.csv").write_text("id,label\n" + "".join(f"urn:{n},label {n}\n" for n in range(8)))
    given = ["--esco", tmp_path / "t.csv", "--version", "0.1.0", "--out", tmp_path / "d", "--model", "stub"]
    with StubServer() as server:
        server._fault = lambda: "refusal" if server.requests <= 5 else "empty reply"
        with pytest.raises(StageError) as caught:
            build.main([str(one) for one in [*given, "--base-url", server.url, "--asks-again", "0"]])
    which = "none of 8 replies had a usable line (refusal: 5, empty reply: 3)"
    assert str(caught.value) == f"no sentence was accepted: {which}. Look at the server's replies in the journal"


def test_failed_requests_name_request_skills_and_class(tmp_path):
    from dataset_builder import build
    from dataset_builder.stub_server import StubBehaviour, StubServer

    (tmp_path / "t.csv").write_text("id,label\n" + "".join(f"urn:{n},label {n}\n" for n in range(8)))
    given = ["--esco", tmp_path / "t.csv", "--version", "0.1.0", "--out", tmp_path / "d", "--model", "stub"]
    with StubServer(StubBehaviour(fault_share=0.5, faults=("500",), seed=4)) as server:
        build.main([str(one) for one in [*given, "--base-url", server.url, "--max-tries", "1", "--most-failed", "1"]])
    lines = [json.loads(line) for line in (tmp_path / "d" / "failed_requests.jsonl").read_text().splitlines()]
    manifest = schema.DatasetManifest.load(tmp_path / "d")
    assert len(lines) == sum(manifest.skills.failed.values()) > 0
    for line in lines:
        assert line["class"] == "http 500"
        assert line["request"] == f"styled@1.0 {line['skills'][0]} #0"
