"""model_card.prototypes: the formula, and what evaluation, card, release and extractor make of such an index."""

import csv
import dataclasses
import io
import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from dataset_builder.contract import StageError, run_command, sha256_of_file
from dataset_builder.schema import DatasetManifest
from eval.per_query import read_per_query
from eval.results import EvalResults
from eval.score_model import main as measure
from model_card import prototypes
from model_card.build import main as build_card
from model_card.export_release import main as export_release
from model_card.label_index import open_label_index
from model_card.prototype_facts import Prototypes
from model_card.prototypes import encoded, main, other_names, sentences_of, with_means
from model_card.publish import check_model
from model_card.release import Release, check_release
from model_card.render import TITLE
from page_model import version_of
from space.encoders import token_share_of
from tests.card_folders import ROWS_SHA256, SENTENCES, retrain, write_dataset, write_esco, write_trained_model
from tests.card_records import RELEASE, VERSION
from training.run_record import TrainingRecord

LABELS = ["bake bread", "weld pipes", "Python"]
VECTORS = {
    "make bread": [3.0, 4.0], "bread baking": [0.0, 2.0], "You bake.": [1.0, 0.0], "Join pipes.": [0.0, -5.0],
    "bake bread": [2.0, 0.0], "weld pipes": [0.0, 3.0], "Python": [1.0, 1.0],
}  # fmt: skip
SCORED = "sentence,label\nYou will bake bread.,bake bread\nYou weld pipes.,weld pipes\nRun Python.,Python\n"


class PlantedEncoder:
    """Gives each known text a planted vector, not of length 1."""

    def __init__(self):
        self.sizes = []

    def encode(self, sentences):
        self.sizes.append(len(sentences))
        return np.array([VECTORS[text] for text in sentences], dtype=np.float32)


def unit(vector):
    return np.array(vector) / math.hypot(*vector)


@pytest.mark.parametrize("at_once", [1, 2, 4096])
def test_prototypes_by_hand(monkeypatch, at_once):
    """A mean of directions, not of vectors; a skill without texts keeps its name's."""
    monkeypatch.setattr(prototypes, "_ENCODE_AT_ONCE", at_once)
    others = {"bake bread": ["make bread", "bread baking"], "weld pipes": []}
    sentences = {"bake bread": ["You bake."], "weld pipes": ["Join pipes."]}
    names = np.array([unit(VECTORS[label]) for label in LABELS], dtype=np.float32)
    done = []
    parts = [encoded(PlantedEncoder(), LABELS, texts, done.append) for texts in (others, sentences)]
    found = with_means(LABELS, names, list(zip((0.5, 0.25), parts, strict=True)))
    bread = np.array([1.0, 0.0]) + 0.5 * (np.array([0.6, 0.8]) + np.array([0.0, 1.0])) / 2 + 0.25 * np.array([1.0, 0.0])
    pipes = np.array([0.0, 1.0]) + 0.25 * np.array([0.0, -1.0])
    np.testing.assert_allclose(found, [unit(bread), unit(pipes), unit([1.0, 1.0])], atol=1e-6)
    assert sum(done) == 4


def test_a_weight_of_none_and_no_texts_change_nothing():
    encoder, names = PlantedEncoder(), np.eye(3, 2, dtype=np.float32) + 1
    names /= np.linalg.norm(names, axis=1, keepdims=True)
    parts = [(0.0, encoded(encoder, LABELS, {"Python": ["You bake."]})), (1.0, encoded(encoder, LABELS, {}))]
    np.testing.assert_allclose(with_means(LABELS, names, parts), names, atol=1e-6)
    assert encoder.sizes == [1]


def test_a_prototype_without_a_direction_is_refused():
    names = np.array([unit(VECTORS[label]) for label in LABELS], dtype=np.float32)
    with pytest.raises(StageError, match="prototype of 'weld pipes' has no direction"):
        with_means(LABELS, names, [(1.0, encoded(PlantedEncoder(), LABELS, {"weld pipes": ["Join pipes."]}))])


def test_sentences_are_of_one_skill_and_the_same_in_any_order(tmp_path):
    rows = [(f"Sentence {n}.", ["a"]) for n in range(9)] + [("Both.", ["a", "b"]), ("Only b.", ["b"])]
    found = []
    for name, order in (("one", rows), ("two", rows[::-1])):
        (tmp_path / name / "pairs").mkdir(parents=True)
        table = pa.table({"sentence": [text for text, _ in order], "skills": [skills for _, skills in order]})
        parquet.write_table(table, tmp_path / name / "pairs/train.parquet")
        found.append(sentences_of(tmp_path / name, 4))
    assert found[0] == found[1]
    assert (len(found[0]["a"]), found[0]["b"]) == (4, ["Only b."])
    assert "Both." not in found[0]["a"]
    with pytest.raises(StageError, match="cannot be read"):
        sentences_of(tmp_path, 4)


def score(root: Path, name: str, *more: str) -> EvalResults:
    """Measure with the real command on three sentences."""
    places = ["--benchmarks", str(root / "tiny_test.csv"), "--esco", str(root / "v1.1.0"), "--split", "test"]
    files = ["--out", str(root / f"{name}.json"), "--per-query", str(root / f"{name}.jsonl")]
    measure([str(root / "model"), *places, "--name", name, "--samples", "20", *files, *more])
    return EvalResults.load(root / f"{name}.json")


def inputs(root: Path) -> list[str]:
    return ["--dataset", str(root / "data"), "--esco", str(root / "v1.1.0")]


def move(root: Path, *more: str) -> None:
    main([str(root / "model"), *inputs(root), *more])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A tiny model that was trained for both scores, with an int8 export, prototypes, results, card and release."""
    from training.base_model import open_encoder
    from training.onnx_files import export_onnx, quantise

    root = tmp_path_factory.mktemp("made")
    write_trained_model(root / "model")
    retrain(root, recipe={"stages": [{"name": "main", "loss": {"name": "token_and_cosine"}}]})
    write_dataset(root / "data")
    write_esco(root / "v1.1.0")
    (root / "tiny_test.csv").write_text(SCORED)
    quantise(export_onnx(open_encoder(root / "model"), root / "model"))
    score(root, "before")
    move(root)
    score(root, "torch")
    score(root, "int8", "--backend", "onnx", "--weights-file", "model_quint8_blocks.onnx")
    results = ["--results", *(str(root / f"{name}.json") for name in ("before", "torch", "int8"))]
    build_card([str(root / "model"), *results, *inputs(root)])
    export_release([str(root / "model"), str(root / "out"), *results, "--dataset", str(root / "data")])
    return root


@pytest.fixture
def work(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "work"))


def test_the_index_says_what_it_is_made_of(made):
    index = open_label_index(made / "model")
    name = DatasetManifest.load(made / "data").name
    assert index.prototypes == Prototypes(0.3, 0.3, 4, name, VERSION, ROWS_SHA256)
    assert index.token_share == 0.3
    assert other_names(RELEASE)[RELEASE.skills[0].label] == list(RELEASE.skills[0].alternative_labels)

    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(made / "model"), device="cpu")
    skill = RELEASE.skills[0]
    name, *others = model.encode([skill.label, *skill.alternative_labels])
    sentence = model.encode([SENTENCES[0]])[0]
    total = unit(name) + 0.3 * np.mean([unit(one) for one in others], axis=0) + 0.3 * unit(sentence)
    np.testing.assert_allclose(index.embeddings[0].astype(float), unit(total), atol=2e-3)
    assert index.lengths[0] == pytest.approx(np.linalg.norm(name), rel=1e-4)


def test_evaluation_ranks_by_the_index_and_says_so(made):
    before, torch, int8 = (
        EvalResults.load(made / f"{name}.json").system.settings for name in ("before", "torch", "int8")
    )
    assert (before["token_share"], before.get("labels")) == ("0.7", None)
    assert (torch["token_share"], torch["labels"], int8["labels"]) == ("0.3", "index", "index")
    assert torch["label_index_sha256"] == int8["label_index_sha256"]
    one, two = (read_per_query(made / f"{name}.jsonl")[0].top_scores for name in ("before", "torch"))
    assert one != pytest.approx(two, abs=1e-3)


def test_names_are_had_when_asked_for(work):
    """As before there were prototypes, whose share is no longer taken either."""
    assert (
        score(work, "names", "--labels", "names").system.settings
        == EvalResults.load(work / "before.json").system.settings
    )
    one, two = (read_per_query(work / f"{name}.jsonl")[0].top_scores for name in ("before", "names"))
    assert one == pytest.approx(two, abs=1e-5)


def test_the_extractor_and_the_card_s_lines_rank_as_the_evaluation_does(made):
    from skill_finder import SkillFinder

    assert token_share_of(made / "model") == token_share_of(made / "out") == 0.3
    finder = SkillFinder.from_pretrained(made / "model", "torch")
    answer = read_per_query(made / "torch.jsonl")[0]
    assert [one.label for one in finder.rank(answer.sentence, 3)] == list(answer.top[:3])

    card = (made / "model/README.md").read_text()
    assert "of the mean of its alternative labels' and 0.3 of the mean of sentences'" in card
    code = re.search(r"```python\n(.*?)```", card, re.S)[1].replace(
        "NAMESPACE/esco-skill-biencoder", str(made / "model")
    )
    values: dict = {}
    exec(code.replace("You will plan and run the tests of our web services.", answer.sentence), values)
    best = np.sort(values["scores"])[::-1][:3]
    assert best == pytest.approx(answer.top_scores[:3], abs=2e-3)


def test_a_card_takes_results_of_the_prototypes_for_its_own(made, work):
    card = (made / "model/README.md").read_text()
    assert "**torch**" in card
    assert "| before |" in card  # of the same weights by names: another system
    assert (made / "out/label_index/label_embeddings.safetensors").is_file()
    move(work, "--sentences", "0.2")
    results = ["--results", *(str(work / f"{name}.json") for name in ("before", "torch"))]
    assert run_command(build_card, [str(work / "model"), *results, *inputs(work)]) == 2


def test_the_card_s_build_keeps_it_and_never_makes_names_of_it(work, capsys):
    before = (work / "model/label_index/label_embeddings.safetensors").read_bytes()
    results = ["--results", str(work / "torch.json")]
    build_card([str(work / "model"), *results, *inputs(work)])
    assert (work / "model/label_index/label_embeddings.safetensors").read_bytes() == before
    path = work / "model/label_index/skills.parquet"
    table = path.read_bytes()
    path.write_bytes(b"half")
    assert run_command(build_card, [str(work / "model"), *results, *inputs(work)]) == 2
    path.write_bytes(table)
    assert (work / "model/label_index/label_embeddings.safetensors").read_bytes() == before
    (work / "model/onnx/model_qint8_avx512.onnx").write_bytes(b"another export")
    capsys.readouterr()
    assert run_command(build_card, [str(work / "model"), *results, *inputs(work)]) == 2
    assert "Run `python -m model_card.prototypes` on this folder again" in capsys.readouterr().err


def test_by_cosine_alone_and_of_a_model_without_tokens(work):
    assert score(work, "cosine", "--score", "cosine").system.settings["labels"] == "index"
    retrain(work, recipe={"stages": [{"name": "main", "loss": {"name": "mnrl"}}]})
    move(work)
    index = open_label_index(work / "model")
    assert (index.token_share, index.lengths) == (None, None)
    assert score(work, "plain").system.kind == "sentence-transformer"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--labels", "index"], "was made for other weights"),
        ([], "was made for other weights"),
    ],
)
def test_an_index_of_other_weights_is_refused(work, capsys, options, said):
    (work / "model/training_record.json").unlink()
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(work / "model"), device="cpu")
    next(model.parameters()).data.mul_(1.1)
    model.save(str(work / "model"))
    command = [str(work / "model"), "--benchmarks", str(work / "tiny_test.csv"), "--esco", str(work / "v1.1.0")]
    assert run_command(measure, [*command, "--out", str(work / "x.json"), *options]) == 2
    assert said in capsys.readouterr().err


def test_a_label_space_that_the_index_lacks_is_ranked_by_names(work, capsys):
    file = work / "v1.1.0/skills_en.csv"
    file.write_text(file.read_text().replace("bake bread", "bake good bread"))
    (work / "tiny_test.csv").write_text("sentence,label\nYou weld pipes.,weld pipes\n")
    found = score(work, "other").system
    assert "its label index lacks labels that are ranked, so all are ranked by names" in capsys.readouterr().err
    assert found.settings == EvalResults.load(work / "before.json").system.settings
    assert found.settings == score(work, "names", "--labels", "names").system.settings
    with pytest.raises(StageError, match="lacks labels that are to be ranked"):
        score(work, "other", "--labels", "index")


def test_a_part_of_its_labels_is_ranked_by_the_index(made, work):
    """In another order: the scores of each label stay as they were."""
    file = work / "v1.1.0/skills_en.csv"
    head, *rows = csv.reader(io.StringIO(file.read_text()))
    with file.open("w", newline="") as written:
        csv.writer(written).writerows([head, *rows[:0:-1]])
    (work / "tiny_test.csv").write_text("sentence,label\nYou weld pipes.,weld pipes\n")
    assert score(work, "part").system.settings["labels"] == "index"
    whole, part = (
        next(one for one in read_per_query(place / f"{name}.jsonl") if one.sentence == "You weld pipes.")
        for place, name in ((made, "torch"), (work, "part"))
    )
    scores = dict(zip(whole.top, whole.top_scores, strict=True))
    assert len(part.top) == 2
    assert list(part.top_scores) == pytest.approx([scores[label] for label in part.top], abs=1e-5)


def test_a_table_of_other_skills_is_refused(work, capsys):
    path = work / "model/label_index/skills.parquet"
    parquet.write_table(parquet.read_table(path).slice(0, 2), path)
    with pytest.raises(StageError, match="was made for other labels than those in"):
        score(work, "none")
    path.write_bytes(b"half")
    with pytest.raises(StageError, match="is damaged"):
        score(work, "none")


def test_an_index_is_asked_for_that_is_not_there(made, work):
    shutil.rmtree(work / "model/label_index")
    with pytest.raises(StageError, match="has no label_index"):
        score(work, "none", "--labels", "index")
    (work / "model/label_index").mkdir()
    (work / "model/label_index/label_embeddings.safetensors").write_bytes(b"half")
    with pytest.raises(StageError, match=r"has no label_index/skills\.parquet"):
        score(work, "none")
    shutil.copy(made / "model/label_index/skills.parquet", work / "model/label_index")
    with pytest.raises(StageError, match="is damaged"):
        score(work, "none")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--sentences", "-1"], "--sentences must be a number from 0 on"),
        (["--alternative-labels", "nan"], "--alternative-labels must be a number from 0 on"),
        (["--per-skill", "0"], "--per-skill must be 1 or more"),
        (["--token-share", "0"], "--token-share must be above 0"),
        (["--token-share", "1.5"], "--token-share must be above 0"),
        (["--near", "nan"], "--near must be a cosine above 0"),
        (["--near", "0"], "--near must be a cosine above 0"),
        (["--seed", "-1"], "--seed must be 0 or more"),
        (["--epochs", "0"], "--epochs must be 1 or more"),
    ],
)
def test_values_that_cannot_be(made, capsys, options, said):
    assert run_command(main, [str(made / "model"), *inputs(made), *options]) == 2
    assert said in capsys.readouterr().err


@pytest.fixture(scope="module")
def newer(made, tmp_path_factory):
    """A release, which has its weights as ONNX alone, with prototypes of a newer dataset; its results and its card."""
    root = Path(shutil.copytree(made, tmp_path_factory.mktemp("newer") / "work"))
    shutil.rmtree(root / "model")
    (root / "out").rename(root / "model")
    write_dataset(root / "data2", "1.1.0")
    main([str(root / "model"), *newer_inputs(root)])
    score(root, "newer", "--backend", "onnx", "--weights-file", "model_quint8_blocks.onnx")
    build_card([str(root / "model"), "--results", str(root / "newer.json"), *newer_inputs(root)])
    return root


def newer_inputs(root: Path) -> list[str]:
    return ["--dataset", str(root / "data2"), "--esco", str(root / "v1.1.0")]


def test_a_release_gets_prototypes_by_its_own_onnx_file(made, newer):
    """The vectors of the torch weights but for 8 bits, and every hash that the former index knew."""
    of_torch, of_onnx = open_label_index(made / "model"), open_label_index(newer / "model")
    assert not list((newer / "model").glob("*.safetensors"))
    alike = (of_torch.embeddings.astype(float) * of_onnx.embeddings.astype(float)).sum(axis=1)
    assert alike.min() > 0.995
    assert of_onnx.weights_sha256 == of_torch.weights_sha256
    assert TrainingRecord.load(newer / "model").weights_sha256 in of_onnx.weights_sha256.values()


def test_hashes_of_weights_that_were_trained_anew_are_not_kept(newer, tmp_path):
    work = Path(shutil.copytree(newer, tmp_path / "work"))
    path = work / "model/label_index/label_embeddings.safetensors"
    with safe_open(path, framework="np") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}
    known = json.loads(metadata["weights_sha256"])
    save_file(tensors, path, {**metadata, "weights_sha256": json.dumps(dict.fromkeys(known, "0" * 64))})
    main([str(work / "model"), *newer_inputs(work)])
    assert list(open_label_index(work / "model").weights_sha256) == ["onnx/model_quint8_blocks.onnx"]


def test_the_new_index_makes_a_new_version_of_the_same_weights(newer):
    record = TrainingRecord.load(newer / "model")
    assert record.version == VERSION
    card = (newer / "model/README.md").read_text()
    assert f"# {TITLE} 1.1.0\n" in card
    assert f"The weights are those of version {VERSION}; the label index, and so the ranking, are new." in card
    assert 'revision="v1.1.0"' in card
    assert re.search(rf"^\| dataset \| `.*` at `v{VERSION}` \|$", card, re.M)
    assert re.search(r"^\| label index \| sentences of `.*` at `v1.1.0`, 4,321 kept of 5,678 written", card, re.M)
    assert "| sentences |" not in card
    assert check_model(newer / "model") == (record.name, "1.1.0")
    assert version_of(newer / "model", str(newer / "model")) == f"{record.name} 1.1.0"


def test_a_release_is_made_of_it_again(newer, tmp_path, capsys):
    results, data = ["--results", str(newer / "newer.json")], ["--dataset", str(newer / "data2")]
    export_release([str(newer / "model"), str(tmp_path / "v1.1.0"), *results, *data])
    assert f"of {TrainingRecord.load(newer / 'model').name} 1.1.0" in capsys.readouterr().out
    release = Release(
        newer / "data2", tmp_path / "v1.1.0", (newer / "newer.json",), "1.1.0", "", "apache-2.0", tmp_path
    )
    wrong = {finding.what: finding.wrong for finding in check_release(release)}
    assert [wrong[what] for what in ("dataset folder", "dataset card", "model and results", "model card")] == [""] * 4
    older = dataclasses.replace(release, version=VERSION)
    assert "is of version 1.1.0" in {one.what: one.wrong for one in check_release(older)}["model and results"]


def test_the_card_wants_the_dataset_of_the_index(newer, tmp_path, capsys):
    work = Path(shutil.copytree(newer, tmp_path / "work"))
    results = ["--results", str(work / "newer.json")]
    assert run_command(build_card, [str(work / "model"), *results, *inputs(work)]) == 2
    assert "the label index was made on dataset version 1.1.0, and the manifest is of 1.0.0" in capsys.readouterr().err
    path = work / "data2/pairs/train.parquet"
    parquet.write_table(parquet.read_table(path).slice(0, 2), path)
    assert run_command(build_card, [str(work / "model"), *results, *newer_inputs(work)]) == 2
    assert "the label index was made on other rows" in capsys.readouterr().err


def labelled(root: Path) -> list[str]:
    """Options of the command, with two sentences under labels and a folder of benchmarks beside."""
    (root / "benchmarks").mkdir()
    (root / "benchmarks/tiny_test.csv").write_text("sentence,label\nYou weld pipes.,weld pipes\n")
    (root / "more.csv").write_text(
        "sentence,skills\nOur ovens are yours at night.,['bake bread']\nFlames and tubes all day.,['weld pipes']\n"
        "You weld pipes.,['Python']\n"
    )
    return ["--labelled", str(root / "more.csv"), "--benchmarks", str(root / "benchmarks")]


def test_labels_move_towards_labelled_sentences(made, work, capsys):
    """A sentence of the benchmarks is not among them; the index and the card say so."""
    from sentence_transformers import SentenceTransformer

    move(work, *labelled(work), "--epochs", "30", "--seed", "4", "--near", "1")
    assert (
        "Moved towards these sentences and 2 labelled ones; left out: 0 without a label to rank, 1 of a benchmark"
        in (capsys.readouterr().out)
    )
    start, index = open_label_index(made / "model"), open_label_index(work / "model")
    fit = index.prototypes.fit
    assert (fit.sentences, fit.labelled, fit.epochs, fit.seed) == (3, 2, 30, 4)
    assert index.token_share == 0.5
    assert fit.files == {"more.csv": sha256_of_file(work / "more.csv")}
    oven = unit(SentenceTransformer(str(work / "model"), device="cpu").encode("Our ovens are yours at night."))
    before, after = (one.embeddings.astype(float) @ oven for one in (start, index))
    assert after[0] - before[0] > 0.001
    assert after[0] - after[1] > before[0] - before[1] + 0.001
    score(work, "moved")
    build_card([str(work / "model"), "--results", str(work / "moved.json"), *inputs(work)])
    card = (work / "model/README.md").read_text()
    assert "moved towards these 3 sentences and 2 others under their labels (`more.csv`), 30 times" in card


def test_a_threshold_for_other_vectors_goes(work):
    (work / "model/skill_finder.json").write_text("{}")
    move(work)
    assert not (work / "model/skill_finder.json").exists()


def test_a_vector_that_is_no_number_is_refused():
    class Broken(PlantedEncoder):
        def encode(self, sentences):
            return super().encode(sentences) * np.array(
                [[1.0] if text != "You bake." else [np.nan] for text in sentences]
            )

    with pytest.raises(StageError, match="no usable vector for 'You bake"):
        encoded(Broken(), LABELS, {"bake bread": ["make bread", "You bake."]})


def test_benchmarks_are_kept_out_or_nothing_is_learned(work, capsys):
    options = labelled(work)
    assert run_command(main, [str(work / "model"), *inputs(work), *options[:2]]) == 2
    assert "--labelled without --benchmarks" in capsys.readouterr().err


def test_onnx_alone_of_a_model_that_pools_otherwise_is_refused(newer, tmp_path, capsys):
    work = Path(shutil.copytree(newer, tmp_path / "work"))
    next((work / "model").glob("*_Pooling/config.json")).write_text('{"pooling_mode": "cls"}')
    assert run_command(main, [str(work / "model"), *newer_inputs(work)]) == 2
    assert "pools otherwise than by the mean over tokens" in capsys.readouterr().err
    (work / "model/onnx/model_quint8_blocks.onnx").unlink()
    assert run_command(main, [str(work / "model"), *newer_inputs(work)]) == 2
    assert "holds no model.safetensors and no ONNX file" in capsys.readouterr().err


def test_a_dataset_of_other_skills_is_refused(work):
    path = work / "data/pairs/train.parquet"
    table = parquet.read_table(path)
    other = pa.array([["no such skill"]] * len(table), table["skills"].type)
    parquet.write_table(table.set_column(table.column_names.index("skills"), "skills", other), path)
    with pytest.raises(StageError, match="no skill of the dataset is among those to rank"):
        move(work)
    move(work, "--sentences", "0")
    assert open_label_index(work / "model").prototypes.sentences == 0


def test_metadata_is_plain(made):
    with safe_open(made / "model/label_index/label_embeddings.safetensors", framework="np") as file:
        metadata = file.metadata()
    assert metadata["token_share"] == "0.3"
    assert '"alternative_labels": 0.3' in metadata["prototypes"]
