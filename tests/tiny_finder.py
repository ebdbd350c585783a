"""A finder for tests: some skills, and an encoder whose cosine is the overlap of words and can be worked by hand."""

import re
from pathlib import Path

import numpy as np

from skill_finder import Settings, SkillFinder
from skill_index import Skill, SkillIndex, normalised

ESCO = "http://data.europa.eu/esco/skill/"
LANGUAGES = "http://data.europa.eu/esco/isced-f/0231"
PROGRAMMING = "http://data.europa.eu/esco/skill/programming"

SKILLS = (
    Skill(ESCO + "sql", "SQL", (), "knowledge", (PROGRAMMING,), "information skills"),
    Skill(ESCO + "r", "R", (), "knowledge", (PROGRAMMING,), "information skills"),
    Skill(ESCO + "cpp", "C++", (), "knowledge", (PROGRAMMING,), "information skills"),
    Skill(ESCO + "csharp", "C#", (), "knowledge", (PROGRAMMING,), "information skills"),
    Skill(ESCO + "css", "CSS", (), "knowledge", (PROGRAMMING,), "information skills"),
    Skill(ESCO + "ldap", "LDAP", (), "knowledge", (PROGRAMMING,), "information skills"),
    Skill(ESCO + "java", "Java (computer programming)", (), "knowledge", (PROGRAMMING,), "information skills"),
    Skill(ESCO + "db", "database management systems", ("SQL", "RDBMS"), "knowledge", (), "information skills"),
    Skill(ESCO + "shifts", "plan shifts of employees", ("staff rostering", "shift planning"), "competence", (), "care"),
    Skill(ESCO + "shifts2", "plan shifts of staff employees", (), "competence", (), "management"),
    Skill(ESCO + "bread", "bake bread in ovens", ("bread baking",), "competence", (), "handling"),
    Skill(ESCO + "adr", "hazardous materials transportation", ("ADR",), "knowledge", (), "handling"),
    Skill(ESCO + "plan", "plan", (), "competence", (), "management"),
    Skill(ESCO + "docks", "dock operations", (), "knowledge", (), "handling"),
)  # fmt: skip


class WordEncoder:
    """One dimension a word: cosine of two texts = shared words / sqrt(words of one x words of the other)."""

    def __init__(self, dimensions: int = 4096) -> None:
        self.dimensions = dimensions
        self.words: dict[str, int] = {}
        self.calls: list[list[str]] = []

    def encode(self, sentences: list[str]) -> np.ndarray:
        self.calls.append(list(sentences))
        vectors = np.zeros((len(sentences), self.dimensions), dtype=np.float32)
        for row, sentence in enumerate(sentences):
            for word in set(re.findall(r"\w+", sentence.lower())):
                vectors[row, self.words.setdefault(word, len(self.words) % self.dimensions)] = 1.0
        return vectors


def tiny_finder(skills=SKILLS, threshold: float = 0.5, gate=None) -> SkillFinder:
    encoder = WordEncoder()
    index = SkillIndex(
        tuple(skills), normalised(encoder.encode([skill.label for skill in skills])), "ESCO of the tests"
    )
    return SkillFinder(encoder, index, Settings(threshold, "nothing", gate), "tiny", "words")


def tiny_model(folder: Path) -> Path:
    """A SentenceTransformer on disk: BERT of 2 layers and hidden size 32 with seeded random weights."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.manual_seed(0)
    source = folder.parent / f"{folder.name}-bert"
    source.mkdir(parents=True, exist_ok=True)
    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    (source / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    BertTokenizerFast(str(source / "vocab.txt")).save_pretrained(source)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    BertModel(config).save_pretrained(source)
    SentenceTransformer(modules=[Transformer(str(source)), Pooling(32)], device="cpu").save(str(folder))
    return folder


def with_index(model: Path, labels) -> Path:
    """A model folder gets a label index, tied to all of its weights."""
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq
    from safetensors.numpy import save_file

    from encoders import load_encoder
    from skill_index import sha256_of_file, sha256_of_lines

    (model / "label_index").mkdir()
    rows = [{"uri": f"{ESCO}{label}", "label": label} for label in labels]
    pq.write_table(pa.Table.from_pylist(rows), model / "label_index/skills.parquet")
    files = [*model.glob("onnx/*.onnx"), *model.glob("*.safetensors")]
    weights = {file.relative_to(model).as_posix(): sha256_of_file(file) for file in files}
    metadata = {
        "format": "1",
        "weights_sha256": json.dumps(weights),
        "labels_sha256": sha256_of_lines(labels),
        "esco_version": "0",
    }
    vectors = load_encoder(model).encode(list(labels))
    save_file({"embeddings": vectors}, model / "label_index/label_embeddings.safetensors", metadata=metadata)
    return model
