"""Lists of skills from files: every accepted shape, every refusal, and the cache."""

import json
from pathlib import Path

import numpy as np
import pytest

from skill_finder import SkillFinder, SkillFinderError
from skill_index import Skill
from taxonomy import encode_skills, parse_skills, read_skills
from tests.tiny_finder import WordEncoder


def stub_model(folder: Path) -> Path:
    """A model folder whose ONNX graph is an embedding table: the mean of fixed token vectors."""
    import onnx
    from tokenizers import Tokenizer, models, pre_tokenizers

    model = folder / "stub"
    (model / "onnx").mkdir(parents=True)
    words = {"[PAD]": 0, "[UNK]": 1, "bread": 2, "bake": 3, "in": 4, "ovens": 5, "sql": 6}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(model / "tokenizer.json"))
    table = np.random.default_rng(0).normal(size=(len(words), 8)).astype(np.float32)
    node = onnx.helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])
    shape = ["batch", "tokens"]
    graph = onnx.helper.make_graph(
        [node],
        "stub",
        [onnx.helper.make_tensor_value_info("input_ids", onnx.TensorProto.INT64, shape)],
        [onnx.helper.make_tensor_value_info("last_hidden_state", onnx.TensorProto.FLOAT, [*shape, 8])],
        [onnx.numpy_helper.from_array(table, "table")],
    )
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    (model / "onnx" / "model.onnx").write_bytes(made.SerializeToString())
    (model / "modules.json").write_text(json.dumps([]), encoding="utf-8")
    return model


def test_a_csv_of_id_and_label():
    skills = parse_skills(
        b"id,label,aliases,description,type\n1, bake ,roast|grill|roast,Heat it,skill/knowledge\n2,sing,,,\n"
    )
    assert [(skill.uri, skill.label) for skill in skills] == [("1", "bake"), ("2", "sing")]
    assert skills[0].alternative_labels == ("roast", "grill")
    assert (skills[0].description, skills[0].type) == ("Heat it", "knowledge")


def test_an_own_list_may_name_groups():
    skills = parse_skills(b"id,label,Group\n1,bake, food \n2,sing,\n3,hum\n")
    assert [skill.group for skill in skills] == ["food", "", ""]


@pytest.mark.parametrize("text", ["id;label\n1;bake\n", "\ufeffID\tLabel\n1\tbake\n", "uri,name\r\n1,bake\r\n\r\n"])
def test_other_ways_to_write_the_same(text):
    assert [(skill.uri, skill.label) for skill in parse_skills(text.encode())] == [("1", "bake")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('id,label\n1,"x\n2,y\n3,z', "line 4: a quotation mark is never closed"),
        ("id,label\n1,bake, fry\n", "line 2: more cells than the header has; put a cell that holds ',' in quotes"),
        ("id;label\n1;bake; fry\n", "line 2: more cells than the header has; put a cell that holds ';' in quotes"),
    ],
)
def test_a_row_that_would_be_read_wrongly_is_an_error(text, words):
    with pytest.raises(SkillFinderError, match=words):
        parse_skills(text.encode())


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "'id' and 'label'"),
        (b"id,label\n", "holds no skill"),
        (b"code,thing\n1,x\n", "found: code, thing"),
        (b"id,label\n1,\n", "line 2: the label is empty"),
        (b"id,label\n,x\n", "line 2: the id is empty"),
        (b"id,label\n1,x\n1,y\n", "there twice"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"id,label\n1,\x00\n", "not a CSV"),
        (b"PK\x03\x04\xff", "not UTF-8"),
    ],
)
def test_refusals_name_the_line(data, says):
    with pytest.raises(SkillFinderError, match=says):
        parse_skills(data)


def test_the_sample_of_esco_is_read(repo):
    skills, name = read_skills(repo / "dataset_builder/sample_esco")
    assert name == "sample_esco"
    assert len(skills) > 100
    assert all(skill.uri.startswith("http://data.europa.eu/esco/skill/") for skill in skills)
    assert any(skill.alternative_labels for skill in skills)
    with pytest.raises(SkillFinderError, match="neither a file"):
        read_skills(repo / "nowhere")


def test_vectors_are_made_once_and_kept_by_the_hash_of_the_labels(tmp_path):
    skills = parse_skills(b"id,label\n1,bake bread\n2,sing\n")
    encoder, seen = WordEncoder(), []
    first = encode_skills(skills, encoder, "own", tmp_path, "weights", lambda *done: seen.append(done))
    again = encode_skills(skills, encoder, "own", tmp_path, "weights")
    assert len(encoder.calls) == 1
    assert seen == [(2, 2)]
    assert np.array_equal(first.vectors, again.vectors)
    encode_skills(skills, encoder, "own", tmp_path, "other weights")
    encode_skills(skills[:1], encoder, "own", tmp_path, "weights")
    assert len(encoder.calls) == 3
    assert encode_skills(skills, encoder, "own").taxonomy == "own"
    assert len(encoder.calls) == 4


def test_scores_do_not_depend_on_whether_the_vectors_were_kept(tmp_path):
    """A first run, one that goes on after it, and one without a folder to keep them give the same numbers.

    1/sqrt(3) = 0.57735... is no float16, so vectors that were not rounded would differ from those that are kept.
    """
    skills = parse_skills(b"id,label\n1,bake fresh bread\n2,sing\n")
    made = [encode_skills(skills, WordEncoder(), "own", place, "weights") for place in (tmp_path, tmp_path, None)]
    first, kept, unkept = (index.vectors for index in made)
    assert first.dtype == kept.dtype == unkept.dtype == np.float32
    assert first.max() == 1.0
    assert np.array_equal(first, kept)
    assert np.array_equal(first, unkept)
    assert first[0].max() == np.float16(3**-0.5)


def test_a_description_changes_no_vector():
    """Skills are found by their names; a description stays with its skill."""
    plain = parse_skills(b"id,label\n1,bake bread\n")
    described = parse_skills(b"id,label,description\n1,bake bread,Heat dough in ovens\n")
    assert described[0].description == "Heat dough in ovens"
    first, second = (encode_skills(skills, WordEncoder(), "own").vectors for skills in (plain, described))
    assert np.array_equal(first, second)


def test_a_broken_file_of_vectors_is_made_again(tmp_path):
    skills = parse_skills(b"id,label\n1,bake bread\n2,sing\n")
    encode_skills(skills, WordEncoder(), "own", tmp_path, "weights")
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for broken in (b"", whole[:-100]):
        file.write_bytes(broken)
        assert encode_skills(skills, WordEncoder(), "own", tmp_path, "weights").vectors.shape == (2, 4096)
        assert file.read_bytes() == whole


def test_vectors_of_another_backend_are_not_taken(tmp_path):
    """torch-bf16 reads the weight file of torch, and rounds what it makes of it."""
    skills = parse_skills(b"id,label\n1,bake bread\n")
    for backend, calls in (("torch", 1), ("torch-bf16", 1), ("torch", 0)):
        encoder = WordEncoder()
        encoder.backend = backend
        encode_skills(skills, encoder, "own", tmp_path, "weights")
        assert len(encoder.calls) == calls


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    skills = parse_skills(b"id,label\n1,bake bread\n")
    assert encode_skills(skills, WordEncoder(), "own", tmp_path / "file" / "cache", "weights").vectors.shape == (
        1,
        4096,
    )


def table_of(tmp_path, rows):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "own.parquet")
    return tmp_path / "own.parquet"


def test_a_parquet_list_with_numbers_for_ids_and_aliases_as_text(tmp_path):
    """As pandas writes a CSV that it read."""
    skills, _ = read_skills(table_of(tmp_path, [{"id": 7, "label": "bake bread", "aliases": "baking | bread baking"}]))
    assert skills == [Skill("7", "bake bread", ("baking", "bread baking"))]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"id": "a"}], "no column 'label'"),
        ([{"label": "a"}], "no column 'uri'"),
        ([{"id": "a", "label": None}], "row 1: the label is None"),
        ([{"id": "a", "label": "x"}, {"id": "", "label": "y"}], "row 2: the id is ''"),
        ([{"id": "a", "label": "x"}, {"id": "a", "label": "y"}], "row 2: the id a is there twice"),
        ([{"id": 1.5, "label": "x"}], "row 1: the id is 1.5"),
    ],
)
def test_a_parquet_list_that_is_none(tmp_path, rows, words):
    with pytest.raises(SkillFinderError, match=words):
        read_skills(table_of(tmp_path, rows))


def test_an_empty_list_is_no_list(tmp_path):
    with pytest.raises(SkillFinderError, match="the list of skills is empty"):
        SkillFinder.from_pretrained(stub_model(tmp_path), skills=[])


def test_a_table_that_is_none_is_an_error(tmp_path):
    (tmp_path / "skills.parquet").write_bytes(b"id,label\n1,bake\n")
    with pytest.raises(SkillFinderError, match="cannot be read as a Parquet file"):
        read_skills(tmp_path / "skills.parquet")


def test_numbers_in_a_table_are_text(tmp_path):
    """The page shows type and group: it must find text there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"id": [1], "label": ["bake"], "type": [7], "group": [3]}), tmp_path / "skills.parquet")
    ((skill,), _) = read_skills(tmp_path / "skills.parquet")
    assert (skill.type, skill.group) == ("7", "3")


def test_empty_cells_more_are_none():
    assert [skill.label for skill in parse_skills(b"id,label\n1,cook,\n,,,\n2,bake\n")] == ["cook", "bake"]


def test_a_parquet_list_is_stripped_as_a_csv_is(tmp_path):
    row = {
        "id": " a ", "label": " bake\n", "alternative_labels": [" baking ", "", " ", None, "baking"],
        "type": "skill/competence ", "broader_uris": "http://x/1", "group": " food ", "description": " of bread ",
    }  # fmt: skip
    (skill,), _ = read_skills(table_of(tmp_path, [row]))
    assert skill == Skill("a", "bake", ("baking",), "competence", ("http://x/1",), "food", "of bread")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"aliases": 5.0}, "row 1: aliases is 5.0, and must be text or a list of it"),
        ({"aliases": [0.5]}, r"row 1: aliases is \[0.5\]"),
        ({"broader_uris": {"a": "b"}}, "row 1: broader_uris is {'a': 'b'}"),
    ],
)
def test_names_in_a_parquet_list_are_text(tmp_path, values, words):
    with pytest.raises(SkillFinderError, match=words):
        read_skills(table_of(tmp_path, [{"id": "a", "label": "x", **values}]))
