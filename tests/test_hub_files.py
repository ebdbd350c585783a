"""dataset_builder.hub_files: what goes to the Hub, what is left out, what is refused."""

import json
import pickle

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import torch

from dataset_builder.contract import StageError
from dataset_builder.hub import is_hub_id, project_version, tag_of
from dataset_builder.hub_files import collect_files, refuse_secrets

# Put together here, so that no scanner finds a token in this file.
HF_TOKEN = "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz01234567"
API_KEY = "sk-" + "proj-0123456789abcdefghijABCDEFGHIJ"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "README.md").write_text("A card. Load NAMESPACE/things.")
    (tmp_path / "record.json").write_text('{"by": "NAMESPACE/things"}')
    return tmp_path


def test_hashes_are_those_of_git_and_sha256(folder):
    """printf 'hello\\n' | sha256sum, and git hash-object on the same."""
    (folder / "a.txt").write_bytes(b"hello\n")
    file = next(file for file in collect_files(folder, "ann").files if file.path == "a.txt")
    assert file.sha256 == "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
    assert file.git_sha1 == "ce013625030ba8dba906f756967f9e9ca394464a"
    assert file.size == 6


def test_cards_and_code_get_the_publishers_name_and_records_stay_as_they_are(folder):
    (folder / "app.py").write_text('MODEL = "NAMESPACE/model"')
    found = {file.path: file.read().decode() for file in collect_files(folder, "ann").files}
    assert found == {
        "README.md": "A card. Load ann/things.",
        "app.py": 'MODEL = "ann/model"',
        "record.json": '{"by": "NAMESPACE/things"}',
    }


def test_cards_and_code_name_the_tag_and_a_page_its_model(folder):
    (folder / "README.md").write_text('Runs on NAMESPACE/model@TAG; load("NAMESPACE/x", revision="TAG"). A TAG stays.')
    files = collect_files(folder, "ann", tag="v1.2.3", extra="ann/model@v1.2.3\n").files
    found = {file.path: file.read().decode() for file in files}
    assert found["README.md"] == 'Runs on ann/model@v1.2.3; load("ann/x", revision="v1.2.3"). A TAG stays.'
    assert found["model.txt"] == "ann/model@v1.2.3\n"
    # printf 'ann/model@v1.2.3\\n' | git hash-object --stdin
    assert next(f for f in files if f.path == "model.txt").git_sha1 == "e0029e6da57d133e04b9cbbbe8d0730f83c124bf"


def test_a_repository_under_another_name_takes_no_name_that_begins_alike(folder):
    (folder / "README.md").write_text("NAMESPACE/model, NAMESPACE/model-large, NAMESPACE/model.b and NAMESPACE/model.")
    (found, _) = (file.read().decode() for file in collect_files(folder, "ann", renamed={"model": "mine"}).files)
    assert found == "ann/mine, ann/model-large, ann/model.b and ann/mine."


def test_the_hubs_own_hidden_folder_goes_along(folder):
    (folder / ".eval_results").mkdir()
    (folder / ".eval_results" / "a.yaml").write_text("[]")
    assert ".eval_results/a.yaml" in [file.path for file in collect_files(folder, "ann").files]


def test_what_is_left_out(folder):
    for name in (
        "optimizer.pt", "pytorch_model.bin", "scheduler.pkl", "weights.ckpt", "x.npy", "training_args.bin",
        "runs/events.out.tfevents.1", "notes",
    ):  # fmt: skip
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    for name in (
        ".cache/a.json", "checkpoint-5/model.safetensors", "__pycache__/a.py", ".README.md.12.tmp",
        "checkpoints/run.json", "checkpoints/seed-1/model.safetensors",
    ):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    found = collect_files(folder, "ann")
    assert [file.path for file in found.files] == ["README.md", "record.json"]
    assert set(found.left_out) == {
        "optimizer.pt", "pytorch_model.bin", "scheduler.pkl", "weights.ckpt", "x.npy", "training_args.bin",
        "runs/events.out.tfevents.1", "notes",
    }  # fmt: skip


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("name", ["a.json", "model.safetensors", "data.txt"])
def test_a_pickle_is_refused_under_any_name(folder, name, protocol):
    (folder / name).write_bytes(pickle.dumps({"a": 1}, protocol=protocol))
    with pytest.raises(StageError, match="is a pickle"):
        collect_files(folder, "ann")


@pytest.mark.parametrize("protocol", [0, 1])
def test_the_oldest_pickles_are_refused_and_text_is_not(folder, protocol):
    (folder / "a.txt").write_bytes(pickle.dumps([("a", 1), {"b": 2.5}], protocol=protocol))
    with pytest.raises(StageError, match="is a pickle"):
        collect_files(folder, "ann")
    for text in ("I plan tests.", "(see below).", ".", "A list: a, b.", "", "Stop: no more words.\n."):
        (folder / "a.txt").write_text(text)
        assert len(collect_files(folder, "ann").files) == 3


@pytest.mark.parametrize("content", [b"\x93NUMPY\x01\x00", b"\x1f\x8b\x08\x00"])
def test_what_may_hide_a_pickle_is_refused_too(folder, content):
    (folder / "data.txt").write_bytes(content)
    with pytest.raises(StageError, match="is a pickle"):
        collect_files(folder, "ann")


def test_a_torch_file_is_refused_under_any_name(folder):
    torch.save({"a": torch.zeros(2)}, folder / "model.safetensors")
    with pytest.raises(StageError, match="is a pickle"):
        collect_files(folder, "ann")


@pytest.mark.parametrize("secret", [HF_TOKEN, API_KEY])
@pytest.mark.parametrize("name", ["README.md", "record.json", "model.safetensors", "app.py"])
def test_a_planted_token_goes_nowhere(folder, name, secret):
    (folder / name).write_bytes(b'some text "' + secret.encode() + b'" more')
    with pytest.raises(StageError, match=f"{name} holds what looks like a token") as caught:
        collect_files(folder, "ann")
    assert secret not in str(caught.value)


@pytest.mark.parametrize("secret", [HF_TOKEN, API_KEY])
@pytest.mark.parametrize("before", ["\n", "\r\n", "\t", "\u00a0", "\u2028"])
def test_a_token_after_a_line_break_is_found_where_the_break_is_written_out(folder, before, secret):
    """JSON and a table's cells say `\\n` for a break: its `n` before the token is no part of a longer word."""
    for text in (json.dumps({"said": f"my key:{before}{secret}"}), repr([f"my key:{before}{secret}"])):
        with pytest.raises(StageError, match="holds what looks like a token"):
            refuse_secrets("a.json", text.encode())
    cells = [f"sentence {n}, of no harm" for n in range(499)] + [f"my key:{before}{secret}"]
    parquet.write_table(pa.table({"text": cells}), folder / "a.parquet", compression="zstd")
    with pytest.raises(StageError, match=r"a\.parquet holds what looks like a token"):
        collect_files(folder, "ann")


@pytest.mark.parametrize(
    "column",
    [
        ["fine", HF_TOKEN],
        [["fine"], ["a", API_KEY]],
        [{"a": "fine"}, {"a": HF_TOKEN}],
        [[{"a": ["b"]}], [{"a": [API_KEY]}]],
        [b"fine", HF_TOKEN.encode()],
        pa.array(["fine", API_KEY]).dictionary_encode(),
    ],
)
def test_a_token_in_a_compressed_table_is_found(folder, column):
    parquet.write_table(pa.table({"n": [1, 2], "text": column}), folder / "a.parquet", compression="zstd")
    with pytest.raises(StageError, match=r"a\.parquet holds what looks like a token"):
        collect_files(folder, "ann")


def test_the_value_of_a_secret_variable_is_found_whatever_it_looks_like(folder, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "plainpassword")
    (folder / "record.json").write_text('{"command": "build --key plainpassword"}')
    with pytest.raises(StageError, match="the value of OPENAI_API_KEY"):
        collect_files(folder, "ann")


@pytest.mark.parametrize(
    "text",
    ["hf_hub_download(...)", "task-specific-knowledge-transfer-1", "hf_token", "sk-learn", "desk-booking-2026-x"],
)
def test_ordinary_text_is_no_token(text):
    refuse_secrets("a.txt", text.encode())


def test_bad_folders(tmp_path):
    with pytest.raises(StageError, match="is not a folder"):
        collect_files(tmp_path / "nothing", "ann")
    with pytest.raises(StageError, match=r"has no README\.md"):
        collect_files(tmp_path, "ann")
    (tmp_path / "README.md").write_text("x")
    with pytest.raises(StageError, match=r"has no app\.py"):
        collect_files(tmp_path, "ann", only=["README.md", "app.py"])
    (tmp_path / "a.parquet").write_bytes(b"not parquet")
    with pytest.raises(StageError, match="is not a Parquet file"):
        collect_files(tmp_path, "ann")


def test_names_and_versions():
    assert [is_hub_id(name) for name in ("a/b", "ann/my-set_1.0", "folder", "/a/b", "./a", "a/b/c", "../a")] == [
        True, True, False, False, False, False, False,
    ]  # fmt: skip
    assert tag_of("1.2.3") == tag_of("v1.2.3") == "v1.2.3"
    for wrong in ("1.2", "latest", "1.2.3.4", ""):
        with pytest.raises(StageError, match="is not a version"):
            tag_of(wrong)
    tag_of(project_version())
