"""The dataset card: every number from a manifest worked by hand, what the Hub reads of it, and what is left out."""

import re

import pytest
import yaml
from huggingface_hub import DatasetCard
from matplotlib.figure import Figure

from dataset_builder.card import with_verdicts
from dataset_builder.contract import StageError
from dataset_builder.dataset_card import render_card
from dataset_builder.judged_files import BY_LLM, SWAPPED, WRITTEN, Judged, by_hand_file, write_judged
from dataset_builder.merge import part_of
from dataset_builder.pictures import draw_pictures
from dataset_builder.schema import (
    DatasetFile,
    EscoSource,
    FiltersUsed,
    LanguageModel,
    Outcomes,
    PromptText,
    TokenUse,
    pairs_features,
    skills_features,
)
from tests.small_dataset import small_manifest


def file_of(path: str, config: str, split: str, rows: int, size: int) -> DatasetFile:
    return DatasetFile(path=path, config=config, split=split, rows=rows, bytes=size, sha256="0" * 64)


MANIFEST = small_manifest(
    [
        file_of("pairs/train.parquet", "pairs", "train", 4321, 7000),
        file_of("pairs/validation.parquet", "pairs", "validation", 99, 500),
        file_of("skills/skills.parquet", "skills", "train", 1234, 800),
    ],
    version="2.3.4",
    code_version="v2.3.4",
    seed=57,
    esco=EscoSource(version="1.1.9", language="de", skills=1234, occupations=0, file_sha256={}),
    language_model=LanguageModel(model="writer", base_url="http://x/v1", temperature=0.65, top_p=0.85, max_tokens=136),
    skills=Outcomes(requested=1150, accepted=1111, rejected={"too few": 22, "odd": 5}, failed={"timeout": 12}),
    sentences_written=5017,
    sentences_accepted=4420,
    sentences_rejected={"too short": 597},
    rejected_examples={"too short": ["7 `words` | here"]},
    replies={"as asked": 2626},
    tokens=TokenUse(requests=2627, prompt_tokens=71000, completion_tokens=82000, cost_usd=1.256),
    prompts=[PromptText(family="styled", version="1.0 sheet 3", system="Write 6 lines.", user="Skill: {skill}")],
    quality={
        "coverage": 0.9003, "coverage_two": 0.8514, "leakage": 0.0525, "leakage_low": 0.0216, "leakage_high": 0.1107,
        "mean_words": 14.25, "sentences_per_skill": 3.979, "skills_per_sentence": 1.255, "distinct_trigrams": 0.7718,
        "round_trip_k": 20.0, "judged_correct": 0.915, "judged_low": 0.868, "judged_high": 0.946,
        "judged_sample": 200.0, "judged_swapped_correct": 0.045, "judged_swapped_low": 0.023,
        "judged_swapped_high": 0.086, "judged_swapped_sample": 190.0,
    },
    filters=FiltersUsed(
        round_trip_encoder="encoder-6l", round_trip_weights_sha256="0123456789abcdef", round_trip_recall=0.95,
        round_trip_chosen_on=["a1_validation.csv"], benchmarks_sha256={"a1_validation.csv": "0", "b2_test.csv": "1"},
    ),
    judge="judge-llm",
    changes=["since 2.2.0", "pairs: 3,000 -> 4,420"],
)  # fmt: skip


def body_of(card: str) -> str:
    return card.split("---\n", 2)[2].split("```bibtex")[0]


def test_every_number_of_the_text_is_worked_by_hand():
    """4321 + 99 = 4,420 pairs; 22 + 5 = 27 skills rejected. No other line of the text holds a digit."""
    lines = [line for line in body_of(render_card(MANIFEST)).splitlines() if re.search(r"\d", line)]
    assert lines == [
        "# Synthetic ESCO skill sentences in German 2.3.4",
        "4,420 pairs of a job-ad sentence and the ESCO skill that it was written for, by",
        "`writer`, for 1,111 of the",
        "1,234 skills of ESCO 1.1.9 (de). Made to train encoders that find",
        'pairs = load_dataset(name, revision="v2.3.4")  # splits train, validation',
        'skills = load_dataset(name, "skills", split="train", revision="v2.3.4")  # the label space',
        'print(pairs["train"][0]["sentence"], "->", pairs["train"][0]["skills"])',
        "| `pairs` | train | 4,321 |",
        "| `pairs` | validation | 99 |",
        "| `skills` | train | 1,234 |",
        "Validation is 2% of the sentences, chosen by their hash; most of its skills are in train as well. For skills",
        "| `fold` | int8 | 0-9, by the skill's URI alone, for experiments with skills held out |",
        "| skills with a sentence | 90.0% |",
        "| skills with two or more | 85.1% |",
        "| sentences that repeat the label word for word | 5.2% (95% interval 2.2% to 11.1%) |",
        "| words a sentence, mean | 14.2 |",
        "| sentences a skill, mean | 3.98 |",
        "| skills a sentence, mean | 1.25 |",
        "| distinct word trigrams | 77.2% |",
        "| judged right by `judge-llm`, of 200 random pairs | 91.5% (95% interval 86.8% to 94.6%) |",
        "| called right by the same judge with the skill of another sentence, of 190 random pairs | 4.5% (95% interval "
        "2.3% to 8.6%) |",
        "| model | `writer`, temperature 0.65, top-p 0.85 |",
        "| seed | 57 |",
        "| code | `v2.3.4` |",
        "| requests | 2,627 |",
        "| tokens read / written | 71,000 / 82,000 |",
        "| price | 1.26 US dollars |",
        "1,150 skills were asked for: 1,111 accepted,",
        "27 rejected, 12 failed.",
        "Of 5,017 sentences written, 4,420 were",
        "Exact and near copies of the sentences in a1_validation.csv, b2_test.csv were left out (hashes in",
        "Every sentence made the round trip: `encoder-6l` (weights 0123456789ab) finds every skill of it again",
        "among the first 20 of 1,234 names, the rank that 95% of the labels in a1_validation.csv reach.",
        "| too short | 597 | `7 'words' / here` |",
        "| as asked | 2,626 |",
        "### styled 1.0 sheet 3",
        "Write 6 lines.",
        "This is version 2.3.4. A version that is published never changes: name it with `revision`, as above.",
        "What changed since 2.2.0:",
        "- pairs: 3,000 -> 4,420",
        "Sentences: CC BY 4.0; written by `writer`, whose own licence says what may be done with what it",
        "writes. Labels, alternative labels and types are taken from ESCO v1.1.9, © European Union, used under",
        "CC BY 4.0 and Commission Decision 2011/833/EU: this publication uses the ESCO classification of the European "
        "Commission.",
    ]


def test_a_nearer_bound_says_what_skills_with_few_sentences_have():
    filters = MANIFEST.filters.model_copy(update={"round_trip_at_least": 3})
    quality = {**MANIFEST.quality, "round_trip_far": 1_127.0}
    card = render_card(MANIFEST.model_copy(update={"filters": filters, "quality": quality}))
    assert (
        "among the first 20 of 1,234 names. A skill with fewer than 3 such sentences has its nearest ones, up to "
        "that many, among the first 1,127, the rank that 95% of the labels in a1_validation.csv reach."
    ) in card


@pytest.mark.parametrize(
    ("nearest", "words"),
    [
        (
            2,
            "None was added whose skill is not among the 2 nearest of all names; a sentence for two skills must have\n"
            "both among the 3 nearest, one for three all among the 4 nearest.",
        ),
        (1, "whose skill is not the nearest of all names; of two or three skills, whose skills are not the two or"),
    ],
)
def test_how_near_a_skill_must_be(nearest, words):
    """By `Limit`: of n skills, all among n - 1 more names."""
    part = part_of(MANIFEST, 1)
    assert words in render_card(MANIFEST.model_copy(update={"parts": [part], "at_most": 12, "nearest": nearest}))


def test_the_card_says_how_to_hold_a_fold_out_and_whose_count_of_tokens_it_is():
    words = " ".join(render_card(MANIFEST).split())
    assert "to hold one out, leave out every row any of whose `skills` is in it" in words
    assert (
        "of replies that came without them, as in a batch file that holds no usage, they are the builder's est" in words
    )


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ("model: a and b and b -> a and b and a", []),  # as older manifests say it of the same two models
        ("model: a and b and b -> b and c and c", ["- model: a and b -> b and c"]),
        ("model: a -> b", ["- model: a -> b"]),
    ],
)
def test_a_change_names_each_model_once(change, shown):
    card = render_card(MANIFEST.model_copy(update={"changes": ["since 2.2.0", change, "pairs: 3 -> 4"]}))
    assert card.split("What changed since 2.2.0:\n\n")[1].split("\n\n")[0].splitlines() == [*shown, "- pairs: 3 -> 4"]


def test_what_the_hub_reads():
    data = DatasetCard(render_card(MANIFEST)).data.to_dict()
    assert (data["license"], data["language"], data["size_categories"]) == ("cc-by-4.0", ["de"], ["1K<n<10K"])
    assert data["task_categories"] == ["sentence-similarity", "text-retrieval"]
    assert (data["source_datasets"], data["annotations_creators"]) == (["original"], ["machine-generated"])
    splits = {(one["config_name"], split["split"]) for one in data["configs"] for split in one["data_files"]}
    assert splits == {("pairs", "train"), ("pairs", "validation"), ("skills", "train")}
    columns = {one["config_name"]: [column["name"] for column in one["features"]] for one in data["dataset_info"]}
    assert columns == {"pairs": list(pairs_features()), "skills": list(skills_features())}
    assert [one["download_size"] for one in data["dataset_info"]] == [7500, 800]
    zeros = "0" * 16
    assert [one["description"] for one in data["dataset_info"]] == [
        f"small 2.3.4, SHA-256 of train {zeros}, validation {zeros}",
        f"small 2.3.4, SHA-256 of train {zeros}",
    ]


def test_columns_have_their_types():
    card = render_card(MANIFEST)
    assert "| `skills` | list of string | labels of all skills that it was written for, `skill` first |" in card
    assert "| `fold` | int8 |" in card


def test_what_was_not_measured_is_left_out():
    quality = {name: None for name in MANIFEST.quality if not name.startswith(("round", "judged"))}
    tokens = MANIFEST.tokens.model_copy(update={"cost_usd": None})
    bare = MANIFEST.model_copy(
        update={"quality": quality, "filters": FiltersUsed(), "tokens": tokens, "changes": [], "replies": {}}
    )
    card = render_card(bare.model_copy(update={"sentences_rejected": {}}))
    assert "| skills with a sentence | not measured |" in card
    for word in (
        "words a sentence",
        "judged right",
        "the round trip",
        "near copies",
        "US dollars",
        "What changed",
        "| rejected",
    ):
        assert word not in card


def test_the_card_of_an_english_dataset_of_single_skills():
    """The title names no language; 0.5 x 1,234 skills have rows, more than the 500 of them that were asked for."""
    changes = {
        "esco": MANIFEST.esco.model_copy(update={"language": "en"}),
        "quality": {**MANIFEST.quality, "coverage": 0.5, "skills_per_sentence": 1.0},
        "skills": Outcomes(requested=500, accepted=500, rejected={}, failed={}),
    }
    card = render_card(MANIFEST.model_copy(update=changes))
    assert "# Synthetic ESCO skill sentences 2.3.4\n" in card
    assert "finds a skill of it again" in card
    assert "for 617 of the\n1,234 skills" in card
    assert "500 skills were asked for: 500 accepted" in card


def test_sampling_that_was_left_to_the_server_is_not_stated():
    model = MANIFEST.language_model.model_copy(
        update={
            "temperature": None,
            "top_p": None,
            "max_tokens": 2000,
            "extra_body": '{"temperature": null, "a": "x|y"}',
        }
    )
    card = render_card(MANIFEST.model_copy(update={"language_model": model}))
    assert "| model | `writer`, temperature the server's default, top-p the server's default |\n" in card
    assert '| further fields of a request | `{"temperature": null, "a": "x/y"}` |\n' in card
    assert "further fields" not in render_card(MANIFEST)


def test_pictures_stand_under_their_captions():
    assert "![Lengths](pictures/a.png)" in render_card(MANIFEST, {"Lengths": "pictures/a.png"})


def test_the_front_matter_is_yaml_whatever_the_model_is_called():
    odd = MANIFEST.model_copy(
        update={"language_model": MANIFEST.language_model.model_copy(update={"model": "a: b # c"})}
    )
    assert yaml.safe_load(render_card(odd).split("---\n")[1])["license"] == "cc-by-4.0"


OWN = EscoSource(version="nursing #2", language="no", skills=12, occupations=0, file_sha256={"nursing #2.csv": "0"})


def test_the_card_of_another_taxonomy_says_nothing_of_esco_and_claims_no_licence():
    """All that the card says of ESCO comes from its source: with another one the only ESCO left is nobody's."""
    card = render_card(MANIFEST.model_copy(update={"esco": OWN}), examples=[("Line.", "this | that", "duty")])
    data = DatasetCard(card).data.to_dict()
    assert (data["pretty_name"], data["license"]) == ("Synthetic skill sentences in Norwegian (nursing #2)", "other")
    assert (data["language"], data["tags"]) == (["no"], ["skill-extraction", "synthetic"])
    for word in ("esco", "europ", "cc by", "cc-by"):
        assert word not in card.lower()
    for words in (
        "# Synthetic skill sentences in Norwegian (nursing #2) 2.3.4",
        "12 skills of the taxonomy `nursing #2` (no). Made to train encoders that find\nthese skills in job ads.",
        "The taxonomy's descriptions are not\nincluded",
        "| `skill_uri` | string | that skill's id in the taxonomy |",
        "Labels and alternative labels are taken from the taxonomy `nursing #2` (no).",
        "| `Line.` | this \\| that | duty |",
    ):
        assert words in card


@pytest.mark.parametrize(
    ("version", "files", "is_esco"),
    [
        ("1.1.0", ["v1.1.0_classification_en.zip", "v1.1.0_relations.zip"], True),
        ("1.1.0", ["skills_en.csv"], True),
        ("unknown", ["skills_en.csv"], True),
        ("1.1.0", [], True),
        ("nursing", ["nursing.csv"], False),
        ("Nursing", ["Nursing.CSV"], False),
        ("1.1.0", ["1.1.0.csv"], False),
    ],
)
def test_a_manifest_says_by_its_files_whether_its_skills_are_those_of_esco(version, files, is_esco):
    """A taxonomy of one's own is one CSV whose name is its version; so `read_taxonomy` says it, and says no more."""
    hashes = dict.fromkeys(files, "0" * 64)
    assert EscoSource(version=version, language="en", skills=1, occupations=0, file_sha256=hashes).is_esco == is_esco


@pytest.mark.parametrize(
    ("judge", "model", "words"),
    [
        ("Claude", "", "judged right by `Claude`, of"),  # an older record, which names no model
        ("Claude", "Claude", "judged right by `Claude`, whose version is not on record, of"),
        ("Claude", "claude-9-20990101", "judged right by `Claude` (served as `claude-9-20990101`), of"),
        ("gpt-9", "gpt-9", "judged right by `gpt-9`, of"),
        ("Judge 1", "writer", "judged right by `Judge 1` (served as `writer`), which wrote them, of"),
    ],
)
def test_the_card_says_who_judged_and_whether_a_version_is_known(judge, model, words):
    assert f"| {words} 200 random pairs |" in render_card(
        MANIFEST.model_copy(update={"judge": judge, "judge_model": model})
    )


@pytest.mark.parametrize(("counts", "panels"), [({"1": 9}, 3), ({"1": 2, "3": 7}, 4), (None, 3)])
def test_skills_a_sentence_are_drawn_where_some_have_several(counts, panels, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **_: drawn.append(figure))
    histograms = {**MANIFEST.histograms, **({"skills_per_sentence": counts} if counts else {})}
    captions = draw_pictures(MANIFEST.model_copy(update={"histograms": histograms}), tmp_path)
    assert len(drawn[0].axes) == panels
    assert any("skills a sentence" in caption for caption in captions) == (panels == 4)
    if panels == 4:
        shown = drawn[0].axes[2]
        assert (shown.get_xlabel(), [bar.get_height() for bar in shown.patches]) == ("skills a sentence", [2, 7])


@pytest.fixture
def judged(tmp_path):
    """A dataset folder without rows, whose one judged line is about what is swapped."""
    folder = tmp_path / "dataset"
    folder.mkdir()
    write_judged(folder / BY_LLM, [Judged("Tyres are swapped by you", "tyres", "", "yes", judge="referee")])
    return folder


def test_the_word_for_a_swapped_pair_in_a_line_makes_none(judged):
    quality = with_verdicts(small_manifest([]), judged).quality
    assert quality["judged_sample"] == 1.0
    assert "judged_swapped_sample" not in quality
    pairs = [Judged("Tyres", "tyres", "", "yes", pair) for pair in (WRITTEN, SWAPPED)]
    write_judged(judged / BY_LLM, pairs)
    assert with_verdicts(small_manifest([]), judged).quality["judged_swapped_sample"] == 1.0


@pytest.mark.parametrize("by_hand", [True, False])
def test_verdicts_in_another_encoding_are_one_line(judged, by_hand):
    """As a spreadsheet on Windows saves them."""
    path = by_hand_file(judged) if by_hand else judged / BY_LLM
    path.write_text("sentence,skill,description,verdict\nCafé,bake,,yes\n", encoding="cp1252")
    with pytest.raises(StageError, match=rf"{re.escape(path.name)} is not UTF-8 text .*\. Save it as CSV UTF-8"):
        with_verdicts(small_manifest([]), judged)
