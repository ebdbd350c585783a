"""From a passage to the words in it that show a skill: runs by hand, offsets, and the encoders' token vectors."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from encoders import load_encoder
from narrowing import TokenVectors, narrow, words_that_show
from skill_finder import Settings, SkillFinder
from skill_index import Skill, SkillIndex
from skill_match import Evidence, SkillMatch
from tests.test_taxonomy import stub_model
from tests.tiny_finder import tiny_model

SKILL = np.array([1.0, 0.0], np.float32)


def tokens_of(passage: str, nearness: dict[str, float]) -> TokenVectors:
    """A token a word; its cosine with SKILL is as given, 0 where it is not."""
    vectors, starts, ends = [], [], []
    position = 0
    for word in passage.split():
        start = passage.index(word, position)
        position = start + len(word)
        cosine = nearness.get(word, 0.0)
        vectors.append([3 * cosine, 3 * np.sqrt(1 - cosine**2)])
        starts.append(start)
        ends.append(position)
    return TokenVectors(np.array(vectors, np.float32), tuple(starts), tuple(ends))


def test_the_run_of_words_that_stands_out():
    """Cosines 0, 0, 0.9, 0.8, 0, 0: mean 0.283, deviation 0.402, so words over 0.283 + 0.201 count: bake bread."""
    passage = "Early mornings, bake bread, with us"
    place = words_that_show(passage, tokens_of(passage, {"bake": 0.9, "bread,": 0.8}), SKILL)
    assert passage[slice(*place)] == "bake bread"


def test_a_weak_word_between_two_strong_ones_belongs_to_the_run():
    """Cosines 0, 0.9, 0.3, 0.9, 0, 0: mean 0.35, deviation 0.40; 0.9 - 0.55 twice outweighs 0.3 - 0.55 once."""
    passage = "We bake our bread here daily"
    place = words_that_show(passage, tokens_of(passage, {"bake": 0.9, "our": 0.3, "bread": 0.9}), SKILL)
    assert passage[slice(*place)] == "bake our bread"


def test_a_model_of_other_dimensions_narrows_nothing():
    passage = "We bake our bread here daily"
    assert words_that_show(passage, tokens_of(passage, {}), np.zeros(3, np.float32)) is None


def test_only_long_passages_found_by_meaning_are_narrowed_and_each_is_encoded_once():
    skills = (Skill("1", "bake"), Skill("2", "roast"))
    index = SkillIndex(skills, np.array([[1.0, 0.0], [0.6, 0.8]], np.float32), "x")
    text = "\U0001f680 We bake our <b>bread</b> here daily. Bake."
    long, short = Evidence(2, text.index(".") + 1, 0.7), Evidence(text.index("Bake"), len(text), 0.6)
    name = replace(long, written=True)
    matches = [
        SkillMatch("bake", "1", "", 0.7, (long, short)),
        SkillMatch("roast", "2", "", 0.7, (name,), found_by="words"),
        SkillMatch("roast", "2", "", 0.7, (long,)),
    ]
    asked = []

    def encode_tokens(texts):
        asked.extend(texts)
        return [tokens_of(one, {"bake": 0.9, "our": 0.3, "bread": 0.9}) for one in texts]

    ((baked, written, _),) = narrow([text], [matches], index, encode_tokens)
    assert len(asked) == 1
    assert "<b>" not in asked[0]
    assert [text[place.start : place.end] for place in baked.evidence] == ["bake our <b>bread", "Bake."]
    assert [place.score for place in baked.evidence] == [0.7, 0.6]
    assert written.evidence == (name,)


def test_a_finder_narrows_with_its_own_encoder(tmp_path):
    """The stub's token vectors are fixed: "sql sql sql" is SQL itself, other words are not, whatever stands around."""
    folder = stub_model(tmp_path)
    finder = SkillFinder.from_pretrained(folder, skills=[Skill("sql", "sql")], taxonomy="own")
    finder.settings = Settings(threshold=0.1)
    text = "in ovens bake bread sql sql in ovens"
    (match,) = finder.find_skills(text, fusion="meaning")
    assert text[match.evidence[0].start : match.evidence[0].end] == "sql sql"
    (whole,) = finder.find_skills(text, fusion="meaning", narrow=False)
    assert text[whole.evidence[0].start : whole.evidence[0].end] == text


@pytest.mark.parametrize("kind", ["onnx", "torch"])
def test_the_mean_of_the_tokens_is_the_vector_of_the_text(tmp_path, kind):
    folder = stub_model(tmp_path) if kind == "onnx" else tiny_model(tmp_path / "tiny")
    loaded = load_encoder(folder, kind)
    texts = ["bake bread", "sql"]
    for text, vector, tokens in zip(texts, loaded.encode(texts), loaded.encode_tokens(texts), strict=True):
        real = tokens.vectors[: len(text.split())] if kind == "onnx" else tokens.vectors
        mean = real.mean(axis=0)
        assert np.allclose(mean / np.linalg.norm(mean), vector, atol=1e-5)
        pieces = [text[start:end] for start, end in zip(tokens.starts, tokens.ends, strict=True) if end > start]
        assert "".join(pieces) == text.replace(" ", "")


def test_tokens_are_right_when_many_threads_ask(tmp_path):
    """torch's tokenizer changes its limits with every call: threads that share it got vectors of other lengths."""
    encoder = load_encoder(tiny_model(tmp_path / "tiny"), "torch")
    texts = [["bake bread"], ["sql and more words than that", "sql"]] * 8

    def lengths(some):
        encoder.encode(some)
        return [(len(one.vectors), len(one.starts)) for one in encoder.encode_tokens(some)]

    alone = [lengths(some) for some in texts[:2]]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lengths, texts)) == alone * 8
