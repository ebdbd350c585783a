"""model_card.export_release: the small folder that git keeps opens everywhere, and holds what it should and no more."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from dataset_builder.contract import StageError, run_command, sha256_of_file
from eval.results import EvalResults
from model_card import speed
from model_card.build import main as build_card
from model_card.export_release import Source, export_release, main
from model_card.facts import gather_facts
from model_card.label_index import open_label_index
from model_card.render import render_card
from model_card.speed import SpeedRecord
from tests.card_folders import retrain, write_dataset, write_esco, write_trained_model
from tests.hub_server import HubServer, User
from tests.published_world import TOKEN, World

INT8 = "onnx/model_quint8_avx2.onnx"
SENTENCES = "sentence,label\nYou will bake bread.,bake bread\nYou weld pipes.,weld pipes\nRun Python.,Python\n"


def score(root: Path, model: str, name: str, *more: str) -> Path:
    """Measure with the real command on three sentences."""
    from eval.score_model import main as measure

    places = ["--benchmarks", str(root / "tiny_test.csv"), "--esco", str(root / "v1.1.0"), "--split", "test"]
    measure([model, *places, "--name", name, "--samples", "20", "--out", str(root / f"{name}.json"), *more])
    return root / f"{name}.json"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A trained tiny model with ONNX and int8 exports, results of three systems, a card, and its release in `out`."""
    root = tmp_path_factory.mktemp("made")
    write_trained_model(root / "model")
    return make_release(root)


@pytest.fixture(scope="module")
def made_by_tokens(tmp_path_factory):
    """The same of a model that was trained by tokens."""
    root = tmp_path_factory.mktemp("tokens")
    write_trained_model(root / "model")
    retrain(root, recipe={"stages": [{"name": "main", "loss": {"name": "token_and_cosine"}}]})
    return make_release(root)


def make_release(root: Path) -> Path:
    """Export, measure, write the card and the release of the trained model under `root`."""
    from training.base_model import open_encoder
    from training.onnx_files import export_onnx, quantise

    write_dataset(root / "data")
    write_esco(root / "v1.1.0")
    (root / "tiny_test.csv").write_text(SENTENCES)
    quantise(export_onnx(open_encoder(root / "model"), root / "model"), "avx2")
    short = Tokenizer.from_file(str(root / "model/tokenizer.json"))
    short.enable_truncation(5)
    short.save(str(root / "model/tokenizer.json"))
    (root / "model/optimizer.pt").write_bytes(b"left by training")
    (root / "model/skill_finder.json").write_text('{"format": 1, "threshold": -1.0, "calibrated_on": "nothing"}')
    score(root, str(root / "model"), "torch")
    score(root, str(root / "model"), "int8", "--backend", "onnx", "--weights-file", INT8)
    score(root, "literal", "literal")
    build_card(
        [str(root / "model"), *results_options(root), "--dataset", str(root / "data"), "--esco", str(root / "v1.1.0")]
    )
    main([str(root / "model"), str(root / "out"), *results_options(root), "--dataset", str(root / "data")])
    return root


def results_options(root: Path) -> list[str]:
    return ["--results", *(str(root / f"{name}.json") for name in ("torch", "int8", "literal"))]


def source_of(root: Path, weights: str = "") -> Source:
    return Source(root / "model", root / "data", tuple(Path(word) for word in results_options(root)[1:]), weights)


def test_it_holds_what_it_should_and_no_more(made):
    found = {path.relative_to(made / "out").as_posix() for path in (made / "out").rglob("*") if path.is_file()}
    assert found == {
        INT8, "README.md", "modules.json", "config.json", "config_sentence_transformers.json", "1_Pooling/config.json",
        "sentence_bert_config.json", "tokenizer.json", "tokenizer_config.json", "training_record.json",
        "skill_finder.json", "label_index/skills.parquet", "label_index/label_embeddings.safetensors",
        "results/torch.json", "results/int8.json", "results/literal.json",
    }  # fmt: skip


def test_the_index_is_tied_to_the_very_weights(made, tmp_path):
    index = open_label_index(made / "out", INT8)
    assert index.weights_sha256[INT8] == sha256_of_file(made / "out" / INT8) == sha256_of_file(made / "model" / INT8)
    copy = shutil.copytree(made / "out", tmp_path / "copy")
    (copy / INT8).write_bytes((made / "model/onnx/model.onnx").read_bytes())
    with pytest.raises(StageError, match=rf"other weights than {INT8}"):
        open_label_index(copy, INT8)


def test_the_pages_finder_opens_it(made):
    from skill_finder import SkillFinder

    finder = SkillFinder.from_pretrained(made / "out")
    assert finder.backend == "onnx-int8"
    ours = [match.label for match in finder.rank("You will bake bread.", 3)]
    index = open_label_index(made / "model", INT8)
    trained = SkillFinder.from_pretrained(made / "model", "onnx-int8").rank("You will bake bread.", 3)
    assert ours == [match.label for match in trained]
    assert set(ours) == set(index.labels)


def test_the_evaluation_opens_it_and_gives_the_same_values(made):
    again = EvalResults.load(score(made, str(made / "out"), "again", "--backend", "onnx", "--weights-file", INT8))
    before = EvalResults.load(made / "int8.json")
    assert again.benchmarks[0].gold_ranks == before.benchmarks[0].gold_ranks
    assert again.system.weights_sha256 == before.system.weights_sha256 == sha256_of_file(made / "out" / INT8)
    assert again.system.training_record_sha256 == before.system.training_record_sha256


def test_its_card_is_of_its_own_weights(made):
    """`model-index` quotes the int8 results, the table all three systems, and the text says what is not here."""
    card = (made / "out/README.md").read_text()
    value = EvalResults.load(made / "int8.json").benchmarks[0].metrics["mrr"].value
    assert f"value: {round(100 * value, 2)}" in card.split("---\n")[1]
    assert all(f"| **{name}** |" in card for name in ("torch", "int8"))
    assert "| literal |" in card
    assert "The weights that training wrote are not in this folder" in card
    assert f"`{INT8}`" in card
    assert "model.safetensors`" not in card


@pytest.mark.parametrize("kind", ["made", "made_by_tokens"])
def test_the_cards_lines_run_on_the_folder(request, kind, tmp_path):
    made = request.getfixturevalue(kind)
    code = re.search(r"```python\n(.*?)\n```", (made / "out/README.md").read_text(), re.DOTALL)[1]
    assert "SentenceTransformer" not in code
    code = code.replace("NAMESPACE/esco-skill-biencoder", str(made / "out"))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    from skill_finder import SkillFinder

    sentence = "You will plan and run the tests of our web services."
    expected = SkillFinder.from_pretrained(made / "out").rank(sentence, 3)
    assert done.stdout.splitlines() == [f"{match.score:.2f}  {match.label}" for match in expected]


def test_a_card_says_how_its_model_ranks(made, made_by_tokens, tmp_path):
    """By tokens with torch weights, too: its lines give what the extractor gives, and not the plain cosine's scores."""
    card, other = ((root / "out/README.md").read_text() for root in (made, made_by_tokens))
    assert "labels by cosine;" in card
    assert "labels by token-level matching and cosine;" in other
    assert "it counts 0.7, and the cosine of the whole\nsentence 0.3" in other
    assert "which the loss trained too" in other
    torch_card = (made_by_tokens / "model/README.md").read_text()
    code = re.search(r"```python\n(.*?)\n```", torch_card, re.DOTALL)[1]
    assert "SentenceTransformer" in code
    code = code.replace("NAMESPACE/esco-skill-biencoder", str(made_by_tokens / "model"))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    from skill_finder import SkillFinder

    sentence = "You will plan and run the tests of our web services."
    finder = SkillFinder.from_pretrained(made_by_tokens / "model", "torch")
    expected = finder.rank(sentence, 3)
    assert done.stdout.splitlines() == [f"{match.score:.2f}  {match.label}" for match in expected]
    cosines = finder.index.vectors @ finder.encoder.encode([sentence])[0]
    assert sorted(cosines.tolist()) != pytest.approx(sorted(match.score for match in expected), abs=1e-3)


def test_sentence_transformers_finds_all_it_asks_for(made, monkeypatch):
    """optimum, which loads the ONNX file for it, needs an older transformers: its call is answered here instead."""
    import onnxruntime
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import transformer
    from transformers.modeling_outputs import BaseModelOutput

    def load(model_name_or_path, config, task_name, **options):
        session = onnxruntime.InferenceSession(str(Path(model_name_or_path) / options["file_name"]))
        names = [one.name for one in session.get_inputs()]

        class Loaded(torch.nn.Module):
            def forward(self, input_ids, attention_mask, token_type_ids=None, **_):
                given = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
                hidden = session.run(None, {name: given[name].numpy() for name in names})[0]
                return BaseModelOutput(last_hidden_state=torch.from_numpy(hidden))

        loaded = Loaded()
        loaded.config = config
        return loaded

    monkeypatch.setattr(transformer, "load_onnx_model", load)
    model = SentenceTransformer(str(made / "out"), backend="onnx", model_kwargs={"file_name": INT8}, device="cpu")
    from eval.onnx_model import OnnxModel

    texts = ["You will bake bread.", "weld"]
    expected = OnnxModel(made / "out", INT8).encode_query(texts)
    np.testing.assert_allclose(model.encode(texts), expected, atol=1e-5)


def test_its_speed_is_measured_on_the_file_it_has(made, tmp_path):
    """The figure for opening and ranking goes through onnxruntime; what is timed gives the vectors that others give."""
    from eval.onnx_model import OnnxModel

    copy = shutil.copytree(made / "out", tmp_path / "copy")
    speed.main([str(copy), "--sentences", str(made / "tiny_test.csv"), "--repeat", "1"])
    record = SpeedRecord.load(copy)
    assert [(one.backend, one.weights_file) for one in record.backends] == [("onnxruntime", INT8)]
    assert 0 < record.open_and_rank_s < 60
    _, encode = speed._open(copy, INT8, 1)
    texts = ["You will bake bread, and weld pipes in our team.", "weld", "Run Python."]
    np.testing.assert_allclose(encode(texts), OnnxModel(copy, INT8).encode_query(texts), atol=0.02)
    facts = gather_facts(copy, sorted((copy / "results").glob("*.json")), made / "data")
    assert f"ranking one sentence took {record.open_and_rank_s:.2f} s" in render_card(facts)


FIND = """
import sys
sys.path.insert(0, "space")
from skill_finder import SkillFinder
finder = SkillFinder.from_pretrained("ann/esco-skill-biencoder@v1.0.0")
print(finder.backend, finder.rank("You will bake bread.", 1)[0].label)
"""


def test_it_is_published_as_it_lies_and_used_by_name(made, tmp_path):
    """From the small folder alone to a Hub, and from there into new processes with empty caches."""
    with HubServer(tmp_path / "hub", {TOKEN: User("ann")}) as hub:
        world = World(hub, made, {})
        done = world.run(["-m", "model_card.publish", str(made / "out")], tmp_path / "publisher", TOKEN)
        assert done.returncode == 0, done.stderr
        files = hub.store.find("model", "ann/esco-skill-biencoder").head.files
        ours = {path.relative_to(made / "out").as_posix() for path in (made / "out").rglob("*") if path.is_file()}
        assert files.keys() - {".gitattributes"} == ours
        card = hub.store.content(files["README.md"].sha256).decode()
        lines = world.run(["-c", re.search(r"```python\n(.*?)\n```", card, re.DOTALL)[1]], tmp_path / "reader")
        assert lines.returncode == 0, lines.stderr
        assert len(lines.stdout.splitlines()) == 3
        found = world.run(["-c", FIND], tmp_path / "finder")
        assert found.returncode == 0, found.stderr
        from skill_finder import SkillFinder

        best = SkillFinder.from_pretrained(made / "out").rank("You will bake bread.", 1)[0].label
        assert found.stdout == f"onnx-int8 {best}\n"


def test_its_tokenizer_cuts_where_its_results_were_cut(made):
    """Training left 5 tokens in tokenizer.json, and the results were measured with the model's own maximum."""
    lengths = [Tokenizer.from_file(str(made / name / "tokenizer.json")).truncation for name in ("model", "out")]
    measured = EvalResults.load(made / "int8.json").system.settings["max_sequence_length"]
    assert [one["max_length"] for one in lengths] == [5, int(measured)]
    code = re.search(r"```python\n(.*?)tokens = ", (made / "out/README.md").read_text(), re.DOTALL)[1]
    code = code.replace("NAMESPACE/esco-skill-biencoder", str(made / "out"))
    count = f"{code}print(len(tokenizer.encode('bread ' * 999).ids))"
    done = subprocess.run([sys.executable, "-c", count], capture_output=True, text=True)
    assert done.stdout == f"{measured}\n", done.stderr


def test_a_release_is_never_written_over(made):
    before = (made / "out/README.md").stat().st_mtime_ns
    with pytest.raises(StageError, match="never written over"):
        export_release(source_of(made), made / "out")
    assert (made / "out/README.md").stat().st_mtime_ns == before


def test_the_folder_of_the_caller_is_no_place_for_it(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StageError, match="give another folder"):
        export_release(source_of(made), Path())


def test_what_a_killed_run_left_is_cleared(work, monkeypatch):
    """Killed before the folder had its name; the run after it is another process."""
    with monkeypatch.context() as killed:
        killed.setattr(shutil, "rmtree", lambda *_, **__: None)
        killed.setattr(Path, "rename", lambda *_: pytest.exit("killed"))
        with pytest.raises(pytest.exit.Exception):
            export_release(source_of(work), work / "out")
    assert [path for path in work.iterdir() if path.name.endswith(".building")]
    monkeypatch.setattr("os.getpid", lambda: 0)
    export_release(source_of(work), work / "out")
    assert not [path for path in work.iterdir() if path.name.endswith(".building")]


@pytest.fixture
def work(made, tmp_path):
    return shutil.copytree(made, tmp_path / "work", ignore=shutil.ignore_patterns("out"))


def break_results(root: Path) -> None:
    results = EvalResults.load(root / "int8.json")
    system = results.system.model_copy(update={"weights_sha256": "0" * 64, "name": "other"})
    results.model_copy(update={"system": system}).save(root / "int8.json")


BREAKS = {
    "no export": (lambda w: (w / "model" / INT8).unlink(), "holds no int8 ONNX file"),
    "an export the index does not know": (lambda w: (w / "model" / INT8).write_bytes(b"x"), "made for other weights"),
    "no results of the int8 file": (break_results, rf"no results file is of this model's weights {INT8}"),
    "no tokenizer": (lambda w: (w / "model/tokenizer.json").unlink(), "has no tokenizer.json"),
    "other pooling": (
        lambda w: (w / "model/1_Pooling/config.json").write_text(json.dumps({"pooling_mode_cls_token": True})),
        "pools otherwise",
    ),
    "damaged modules": (
        lambda w: (w / "model/modules.json").write_text("["),
        r"modules\.json is damaged .* Put back the file",
    ),
    "damaged pooling": (lambda w: (w / "model/1_Pooling/config.json").write_text("{"), r"config\.json is damaged"),
    "damaged tokenizer": (lambda w: (w / "model/tokenizer.json").write_text("{"), r"tokenizer\.json is damaged"),
    "a token in a record": (
        lambda w: (w / "model/tokenizer_config.json").write_text('{"a": "hf_' + "0123456789" * 3 + '"}'),
        "looks like a token",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_what_is_not_ready_leaves_nothing(work, name):
    spoil, message = BREAKS[name]
    spoil(work)
    before = {path.name for path in work.iterdir()}
    with pytest.raises(StageError, match=message):
        export_release(source_of(work), work / "out")
    assert {path.name for path in work.iterdir()} == before


def test_several_int8_files_need_a_name(work, capsys):
    from training.onnx_files import quantise

    other = quantise(work / "model/onnx/model.onnx", "arm64")
    score(work, str(work / "model"), "arm", "--backend", "onnx", "--weights-file", other.name)
    words = [str(work / "model"), *results_options(work), str(work / "arm.json"), "--dataset", str(work / "data")]
    build_card([*words, "--esco", str(work / "v1.1.0")])
    release = [words[0], str(work / "out"), *words[1:]]
    assert run_command(main, release) == 2
    assert "Name one with --weights; model_quint8_blocks.onnx runs on every processor" in capsys.readouterr().err
    assert run_command(main, [*release, "--weights", "onnx/nothing.onnx"]) == 2
    assert "holds no ONNX file onnx/nothing.onnx" in capsys.readouterr().err
    main([*release, "--weights", f"onnx/{other.name}"])
    results = [work / "out/results" / path for path in ("torch.json", "int8.json", "arm.json", "literal.json")]
    facts = gather_facts(work / "out", results, work / "data")
    assert [file.path for file in facts.weights] == [f"onnx/{other.name}"]
    assert [one.system.name for one in facts.main] == ["arm"]
