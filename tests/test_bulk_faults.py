"""Many ads: kills, two runs at once, outputs in the wrong place, and what must be the same for a run to go on."""

import json
import os
import subprocess
import sys
from argparse import Namespace
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

import bulk
import bulk_output
from bulk_output import Parts
from bulk_parts import PartWorker
from bulk_rows import AdSource, Row
from no_skill import Gate
from skill_finder import SkillFinderError
from tests.bulk_ads import bulk_command, texts_of, write_ads
from tests.tiny_finder import SKILLS, tiny_finder

GIVEN = {"threshold": None, "top_k": None, "all": False}


@pytest.fixture
def command(monkeypatch):
    return bulk_command(monkeypatch)


class TestOutput:
    def test_the_input_is_never_the_output(self, tmp_path, command, capsys):
        ads = write_ads(tmp_path / "ads.parquet", ["You bake bread"])
        (tmp_path / "link.parquet").symlink_to(ads)
        for output in (ads, tmp_path / "link.parquet"):
            assert command(ads, output) == 2
            assert "is the input itself" in capsys.readouterr().err
        assert texts_of(ads) == ["You bake bread"]

    def test_an_output_in_the_folder_of_the_input_is_refused(self, tmp_path, command, capsys):
        """Its parts would be read as ads."""
        (tmp_path / "ads" / "deep").mkdir(parents=True)
        write_ads(tmp_path / "ads" / "a.parquet", ["You bake bread"])
        assert command(tmp_path / "ads", tmp_path / "ads" / "deep" / "skills.parquet") == 2
        assert "in the folder of the input" in capsys.readouterr().err
        assert command(tmp_path / "ads", tmp_path / "skills.parquet") == 0

    def test_an_output_that_is_a_folder_is_refused_before_the_work(self, tmp_path, command, capsys):
        ads = write_ads(tmp_path / "ads.parquet", ["You bake bread"])
        (tmp_path / "out").mkdir()
        assert command(ads, tmp_path / "out") == 2
        assert "is a folder" in capsys.readouterr().err

    def test_parts_without_their_record_are_not_taken_over(self, tmp_path):
        """A kill while parts are removed may leave some of them; the next run may be about other ads."""
        parts = Parts(tmp_path / "out.parquet")
        parts.open({"run": 1}, restart=False)
        parts.save(0, PartWorker(tiny_finder()).work([Row("You bake bread")], 0))
        (parts.folder / bulk_output.RUN_FILE).unlink()
        parts.open({"run": 2}, restart=False)
        assert not parts.is_done(0)

    def test_the_record_goes_before_the_parts(self, tmp_path, monkeypatch):
        parts = Parts(tmp_path / "out.parquet")
        parts.open({"run": 1}, restart=False)
        parts.save(0, PartWorker(tiny_finder()).work([Row("You bake bread")], 0))
        unlink, gone = type(tmp_path).unlink, []

        def killed(path, **kwargs):
            if gone:
                raise KeyboardInterrupt
            gone.append(path.name)
            unlink(path, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(type(tmp_path), "unlink", killed)
            with pytest.raises(KeyboardInterrupt):
                parts.open({"run": 2}, restart=True)
        assert gone == [bulk_output.RUN_FILE]

    def test_files_of_others_in_the_folder_of_parts_stay(self, tmp_path):
        parts = Parts(tmp_path / "out.parquet")
        parts.folder.mkdir()
        (parts.folder / "thesis.txt").write_text("mine", encoding="utf-8")
        parts.open({"run": 1}, restart=True)
        assert parts.join(0).rows == 0
        assert [file.name for file in parts.folder.iterdir()] == ["thesis.txt"]

    def test_a_record_that_is_cut_short_asks_for_a_restart(self, tmp_path):
        parts = Parts(tmp_path / "out.parquet")
        parts.open({"run": 1}, restart=False)
        (parts.folder / bulk_output.RUN_FILE).write_text("", encoding="utf-8")
        with pytest.raises(SkillFinderError, match="--restart"):
            parts.open({"run": 1}, restart=False)

    def test_two_runs_do_not_write_one_output(self, tmp_path, command, capsys):
        ads = write_ads(tmp_path / "ads.parquet", ["You bake bread"])
        out = tmp_path / "out.parquet"
        script = (
            f"import sys, time; sys.path[:0] = {sys.path!r}\n"
            f"from pathlib import Path; from bulk_output import Parts\n"
            f"with Parts(Path({str(out)!r})).held(): print('held', flush=True); time.sleep(60)"
        )
        other = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        try:
            assert other.stdout.readline() == "held\n"
            assert command(ads, out, "--restart") == 2
            said = capsys.readouterr().err
            assert said.count("\n") == 1
            assert f"process {other.pid} is writing {out}" in said
        finally:
            other.kill()
            other.wait()
        # What a killed run held is free again, and nothing is left beside the output.
        assert command(ads, out) == 0
        assert sorted(file.name for file in tmp_path.iterdir()) == ["ads.parquet", "out.parquet"]

    def test_a_kill_while_joining_leaves_nothing_for_ever(self, tmp_path, command):
        ads = write_ads(tmp_path / "ads.parquet", ["You bake bread"])
        (tmp_path / ".out.parquet.tmp").write_bytes(b"half")
        assert command(ads, tmp_path / "out.parquet") == 0
        assert sorted(file.name for file in tmp_path.iterdir()) == ["ads.parquet", "out.parquet"]

    def test_row_groups_of_the_output_are_large(self, tmp_path, monkeypatch):
        """A row group a part would be 20,000 of them for ten million ads, all of them described in the footer."""
        monkeypatch.setattr(bulk_output, "JOIN_ROWS", 4)
        monkeypatch.setattr(bulk_output, "PART_ROWS", 2)
        parts = Parts(tmp_path / "out.parquet")
        parts.open({}, restart=False)
        worker = PartWorker(tiny_finder())
        for number in range(5):
            parts.save(number, worker.work([Row(f"bread {number}"), Row(None, None, "no text")], 2 * number))
        assert parts.join(5) == bulk_output.Joined(10, 5)
        made = pq.ParquetFile(tmp_path / "out.parquet")
        assert [made.metadata.row_group(i).num_rows for i in range(made.num_row_groups)] == [4, 4, 2]
        assert made.read()["row"].to_pylist() == list(range(10))


class TestSettings:
    """What must be the same for a run to go on."""

    def settings(self, path, finder=None, **given):
        source = AdSource(str(path), "text", split=given.pop("split", "train"))
        return bulk.run_settings(source, finder or tiny_finder(), Namespace(**{**GIVEN, **given}))

    def changed(self, before, after):
        return {name for name in before if before[name] != after[name]}

    def test_they_survive_their_file(self, tmp_path):
        ads = write_ads(tmp_path / "ads.parquet", ["You bake bread"])
        assert json.loads(json.dumps(self.settings(ads))) == self.settings(ads)

    def test_a_file_of_the_same_size_is_another_input(self, tmp_path):
        ads = tmp_path / "ads.jsonl"
        ads.write_text('{"text": "bake"}\n', encoding="utf-8")
        before = self.settings(ads)
        assert self.changed(before, self.settings(ads)) == set()
        ads.write_text('{"text": "sing"}\n', encoding="utf-8")
        os.utime(ads, ns=(1, 1))
        assert self.changed(before, self.settings(ads)) == {"input"}

    def test_split_backend_weights_and_calibration_count(self, tmp_path):
        ads = write_ads(tmp_path / "ads.parquet", ["You bake bread"])
        before = self.settings(ads)
        assert self.changed(before, self.settings(ads, split="test")) == {"split"}
        finder = tiny_finder()
        finder.backend = "onnx"
        assert self.changed(before, self.settings(ads, finder)) == {"backend"}
        finder = tiny_finder()
        finder.encoder.weight_file = tmp_path / "weights"
        finder.encoder.weight_file.write_bytes(b"1")
        first = self.settings(ads, finder)
        assert self.changed(before, first) == {"weights"}
        finder.encoder.weight_file.write_bytes(b"2")
        assert self.changed(first, self.settings(ads, finder)) == {"weights"}
        weights = np.zeros(4096, np.float32)
        gated = self.settings(ads, tiny_finder(gate=Gate(weights, 0.0, 0.5)))
        assert self.changed(before, gated) == {"calibration"}
        weights[2000] = 1.0
        assert self.changed(gated, self.settings(ads, tiny_finder(gate=Gate(weights, 0.0, 0.5)))) == {"calibration"}

    @pytest.mark.parametrize("field", ["label", "alternative_labels", "type"])
    def test_every_field_of_the_skills_counts(self, tmp_path, field):
        ads = write_ads(tmp_path / "ads.parquet", ["You bake bread"])
        other = replace(SKILLS[0], **{field: ("x",) if field == "alternative_labels" else "x"})
        finder = tiny_finder((other, *SKILLS[1:]))
        assert self.changed(self.settings(ads), self.settings(ads, finder)) == {"taxonomy"}
