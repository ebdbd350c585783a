"""A model folder -> a finder: what it must hold, and what is refused."""

import json
import shutil

import numpy as np
import pytest

from skill_finder import Settings, SkillFinder, SkillFinderError
from skill_index import Skill
from tests.tiny_finder import SKILLS, tiny_model


class TestModelFolder:
    @pytest.fixture(scope="class")
    def folder(self, tmp_path_factory):
        import pyarrow as pa
        import pyarrow.parquet as pq
        from safetensors.numpy import save_file

        from encoders import load_encoder
        from skill_index import sha256_of_file, sha256_of_lines
        from taxonomy import encode_skills

        folder = tiny_model(tmp_path_factory.mktemp("model") / "tiny")
        index = encode_skills(list(SKILLS), load_encoder(folder, "torch"), "x")
        (folder / "label_index").mkdir()
        rows = [
            {
                "uri": skill.uri, "label": skill.label, "alternative_labels": list(skill.alternative_labels),
                "type": skill.type, "broader_uris": list(skill.broader_uris), "group": skill.group,
            }
            for skill in SKILLS
        ]  # fmt: skip
        pq.write_table(pa.Table.from_pylist(rows), folder / "label_index/skills.parquet")
        metadata = {
            "format": "1",
            "weights_sha256": json.dumps({"model.safetensors": sha256_of_file(folder / "model.safetensors")}),
            "labels_sha256": sha256_of_lines([skill.label for skill in SKILLS]),
            "esco_version": "1.1.0",
            "esco_language": "en",
            "model": "tiny",
        }
        file = folder / "label_index/label_embeddings.safetensors"
        save_file({"embeddings": index.vectors.astype(np.float16)}, file, metadata)
        return folder

    def test_a_model_folder_is_enough(self, folder):
        finder = SkillFinder.from_pretrained(folder)
        assert finder.index.taxonomy == "ESCO 1.1.0 (en)"
        assert finder.backend == "torch"
        assert finder.rank("bake bread in ovens", 1)[0].label == "bake bread in ovens"

    def test_settings_are_read_from_the_folder(self, folder):
        settings = {"format": 1, "threshold": 0.42, "calibrated_on": "x", "extra": 1}
        (folder / "skill_finder.json").write_text(json.dumps(settings), encoding="utf-8")
        assert SkillFinder.from_pretrained(folder).settings == Settings(0.42, "x", None)
        settings["names"] = {"threshold": 0.7, "agreement": 0.2}
        (folder / "skill_finder.json").write_text(json.dumps(settings), encoding="utf-8")
        own = SkillFinder.from_pretrained(folder)
        assert own.settings == Settings(0.42, "x", None, 0.0, (0.7, 0.2))
        listed = SkillFinder.from_pretrained(folder, skills=[Skill("1", "weld pipes")])
        assert (listed.settings.threshold, listed.settings.agreement) == (0.7, 0.2)
        assert own.with_skills(listed.index).settings == listed.settings
        (folder / "skill_finder.json").write_text('{"format": 3, "threshold": 1}', encoding="utf-8")
        with pytest.raises(SkillFinderError, match="format 3"):
            SkillFinder.from_pretrained(folder)
        (folder / "skill_finder.json").unlink()

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            (b'{"format": 1, "calibrated_on": "K\xf6ln"}', "not a settings file"),
            (b'{"format": 1, "calibrated_on": "x", "threshold": "high"}', "not a settings file"),
            (
                b'{"format": 2, "calibrated_on": "x", "threshold": 0.5,'
                b' "gate": {"weights": [1, 2, 3], "bias": 0, "least": 0.5}}',
                r"weights of shape \(3,\), and the index has vectors of \(32,\)",
            ),
        ],
    )
    def test_settings_that_are_none_are_refused(self, folder, tmp_path, content, says):
        copy = shutil.copytree(folder, tmp_path / "copy")
        (copy / "skill_finder.json").write_bytes(content)
        with pytest.raises(SkillFinderError, match=says) as refusal:
            SkillFinder.from_pretrained(copy)
        assert "skill_finder.json" in str(refusal.value)

    def test_half_of_an_index_is_refused(self, folder, tmp_path):
        file = shutil.copytree(folder, tmp_path / "copy") / "label_index/label_embeddings.safetensors"
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        with pytest.raises(SkillFinderError, match=f"{file} cannot be read"):
            SkillFinder.from_pretrained(tmp_path / "copy")

    def test_changed_weights_are_refused(self, folder, tmp_path):
        copy = shutil.copytree(folder, tmp_path / "copy")
        weights = copy / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-4] + b"\1\2\3\4")
        with pytest.raises(SkillFinderError, match="other weights"):
            SkillFinder.from_pretrained(copy)

    def test_changed_labels_are_refused(self, folder, tmp_path):
        import pyarrow.parquet as pq

        copy = shutil.copytree(folder, tmp_path / "copy")
        table = copy / "label_index/skills.parquet"
        pq.write_table(pq.read_table(table).take(list(reversed(range(len(SKILLS))))), table)
        with pytest.raises(SkillFinderError, match="other labels"):
            SkillFinder.from_pretrained(copy)

    def test_a_folder_without_a_model_or_index_says_so(self, folder, tmp_path):
        with pytest.raises(SkillFinderError, match="no weights"):
            SkillFinder.from_pretrained(tmp_path)
        with pytest.raises(SkillFinderError, match="neither a model folder nor a Hub id"):
            SkillFinder.from_pretrained(tmp_path / "nowhere")
        with pytest.raises(SkillFinderError, match="onnx-int8"):
            SkillFinder.from_pretrained(folder, "onnx-int8")

    def test_an_own_list_replaces_the_index(self, folder):
        finder = SkillFinder.from_pretrained(
            folder, skills=[Skill("1", "juggle"), Skill("2", "sing")], taxonomy="circus"
        )
        assert finder.index.taxonomy == "circus"
        assert finder.rank("juggle", 1)[0].uri == "1"

    def test_an_own_list_is_encoded_once(self, folder, monkeypatch):
        """1,000 skills in two parts of at most 512; the second time nothing is encoded."""
        skills, seen = [Skill(str(n), f"own skill {n}") for n in range(1000)], []
        first = SkillFinder.from_pretrained(folder, skills=skills, progress=lambda *at: seen.append(at))
        assert seen == [(512, 1000), (1000, 1000)]
        monkeypatch.setattr("taxonomy.normalised", lambda vectors: pytest.fail("encoded again"))
        again = SkillFinder.from_pretrained(folder, skills=skills)
        assert np.array_equal(first.index.vectors, again.index.vectors)
