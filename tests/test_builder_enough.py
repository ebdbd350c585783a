"""At most so many sentences a skill: whose come first, and which of the others."""

import numpy as np
import pytest

from dataset_builder import merge as command
from dataset_builder.contract import StageError
from dataset_builder.enough import ENOUGH, Limit
from dataset_builder.esco import Skill
from dataset_builder.filters import Report
from dataset_builder.round_trip import REASON
from dataset_builder.schema import DatasetManifest
from dataset_builder.sentences import Sentence
from dataset_builder.whole_folder import Place
from tests.test_builder_merge import folder_of, rows_of

SKILLS = tuple(Skill(f"http://esco/{one}", one) for one in ("weld", "cook", "prune"))


class ByWords:
    """One dimension a skill: how often its name is in the text."""

    def encode(self, texts):
        return np.array([[text.count(skill.label) for skill in SKILLS] for text in texts], np.float32)


def sentence(text, *numbers):
    return Sentence(text, tuple(SKILLS[number] for number in numbers), "duty", "styled")


def test_later_folders_add_what_is_missing_the_clearest_first():
    """Two a skill: the first folder has one about welding, the second adds one of its three, in which the skill is the
    nearest; "weld cook cook" is nearer to another. Of cooking it may add both.
    """
    first = [sentence("seam", 0)]
    second = [
        sentence("weld cook cook", 0),
        sentence("weld weld cook", 0),
        sentence("cook", 1),
        sentence("prune cook prune", 1),
    ]
    report = Report()
    kept = Limit(2, ByWords()).apply([first, second], SKILLS, report)
    assert kept == [first, second[1:]]
    assert report.rejected == {ENOUGH: 1}


def test_later_folders_add_only_what_is_near_enough():
    """Of "weld cook cook" welding is the second nearest name: it is left out however few sentences the skill has."""
    first = [sentence("weld cook cook", 0)]
    second = [sentence("weld prune prune", 0), sentence("weld weld cook", 0), sentence("cook", 1)]
    report = Report()
    kept = Limit(5, ByWords(), nearest=1).apply([first, second], SKILLS, report)
    assert kept == [first, second[1:]]
    assert report.rejected == {REASON: 1}
    assert Limit(5, ByWords(), nearest=2).apply([first, second], SKILLS, Report()) == [first, second]


def test_several_skills_may_be_the_several_nearest():
    """Of two skills one is the nearest name and the other the second; with a third name between them it is left out."""
    near, far = sentence("weld weld prune", 0, 2), sentence("weld cook cook prune prune prune", 0, 2)
    assert Limit(5, ByWords(), nearest=1).apply([[], [near, far]], SKILLS, Report()) == [[], [near]]


def test_without_an_encoder_the_first_are_kept_and_the_first_folder_is_bounded_too():
    first = [sentence(f"seam {number}", 0) for number in range(3)]
    second = [sentence("weld", 0), sentence("cook", 1), sentence("bake", 1), sentence("fry", 1)]
    assert Limit(2).apply([first, second], SKILLS, Report()) == [first[:2], second[1:3]]


def test_a_sentence_for_several_skills_is_kept_while_one_lacks_it():
    """ "weld" is full after the first folder; the second's is for pruning as well, which has none."""
    first, second = [sentence("seam", 0)], [sentence("weld and prune", 0, 2), sentence("weld", 0)]
    assert Limit(1).apply([first, second], SKILLS, Report()) == [first, second[:1]]


def test_a_merged_folder_names_its_bound(tmp_path):
    """The second folder adds nothing about the first skill; manifest, card and rejects say so."""
    folders = [
        folder_of(tmp_path, "claude", [("Weld hulls in the dry dock", 0)]),
        folder_of(tmp_path, "qwen", [("Join steel plates of trawlers", 0), ("Cook for forty children", 1)]),
    ]
    arguments = [*map(str, folders), "--version", "1.1.0", "--out", str(tmp_path / "out"), "--at-most", "1"]
    command.main(arguments)
    assert {text for text, _, _ in rows_of(tmp_path / "out")} == {
        "Weld hulls in the dry dock",
        "Cook for forty children",
    }
    manifest = DatasetManifest.load(tmp_path / "out")
    assert (manifest.at_most, manifest.filters.round_trip_encoder) == (1, "")
    assert manifest.sentences_rejected[ENOUGH] == 1
    assert [part.sentences_kept for part in manifest.parts] == [1, 1]
    card = (tmp_path / "out" / "README.md").read_text()
    assert "A skill has at most 1 sentences" in card
    assert "finds the skill best" not in card
    other, _ = command.merge(folders, Place(tmp_path / "all", "1.1.0"))
    assert other.at_most is None
    assert "A skill has at most" not in (tmp_path / "all" / "README.md").read_text()


def test_the_encoder_that_chose_is_named(tmp_path, monkeypatch):
    folders = [
        folder_of(tmp_path, "claude", [("Weld hulls in the dry dock", 0)]),
        folder_of(tmp_path, "qwen", [("Cook for forty children", 1)]),
    ]
    monkeypatch.setattr(command, "load_encoder", lambda name: ByLength())
    arguments = [*map(str, folders), "--version", "1.1.0", "--out", str(tmp_path / "out")]
    command.main([*arguments, "--at-most", "5", "--round-trip-encoder", "somebody/encoder"])
    assert DatasetManifest.load(tmp_path / "out").filters.round_trip_encoder == "somebody/encoder"
    card = (tmp_path / "out" / "README.md").read_text()
    assert "the ones in which `somebody/encoder` finds the skill best.\n\n" in card
    # By length alone all names are as near as each other: rank 1.
    for bound, words in (
        ("1", "is not the nearest of all names; of two"),
        ("3", "is not among the 3 nearest of all names; a sentence for two skills must have\nboth among the 4"),
    ):
        out = tmp_path / f"within-{bound}"
        more = ["--at-most", "5", "--round-trip-encoder", "somebody/encoder", "--round-trip-k", bound]
        command.main([*map(str, folders), "--version", "1.1.0", "--out", str(out), *more])
        assert DatasetManifest.load(out).nearest == int(bound)
        assert f"finds the skill best.\nNone was added whose skill {words} " in (out / "README.md").read_text()


class ByLength:
    """Any texts."""

    def encode(self, texts):
        return np.array([[len(text), 1.0] for text in texts], np.float32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--at-most", "0"), "must be at least 1"),
        (("--round-trip-encoder", "x"), "only with --at-most"),
        (("--round-trip-k", "3"), "only with --at-most"),
        (("--at-most", "5", "--round-trip-k", "3"), "is a rank by an encoder"),
        (("--at-most", "5", "--round-trip-k", "0", "--round-trip-encoder", "x"), "round-trip-k must be at least 1"),
    ],
)
def test_what_makes_no_sense_is_one_line(tmp_path, options, message):
    folders = [
        folder_of(tmp_path, "claude", [("Weld hulls in the dry dock", 0)]),
        folder_of(tmp_path, "qwen", [("Cook for forty children", 1)]),
    ]
    with pytest.raises(StageError, match=message):
        command.main([*map(str, folders), "--version", "1.1.0", "--out", str(tmp_path / "out"), *options])
