"""Comparisons: groups, seeds, published numbers, paired tests, Markdown and figures, from ranks set by hand."""

import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from dataset_builder.contract import StageError, run_command
from eval import compare
from eval.comparison import PUBLISHED_FILE, PUBLISHED_LABEL_SPACE, group_runs, paired_tests, read_published, read_runs
from eval.figures import threshold_values
from eval.results import Estimate, SliceResult, ThresholdPoint, ThresholdResult
from tests.eval_records import results_of

GOOD = {"TECH": [(1,)] * 20, "HOUSE": [(1,), (7,)] * 10}
POOR = {"TECH": [(1,), (9,)] * 10, "HOUSE": [(7,)] * 20}


def test_table_holds_values_with_intervals(capsys, tmp_path):
    """GOOD finds all 20 of TECH and every other one of HOUSE: RP@5 100 and 50; POOR 50 and 0."""
    files = [save(tmp_path, "good", GOOD), save(tmp_path, "poor", POOR)]
    assert run_command(compare.main, [*files, "--metrics", "rp@5", "--out", str(tmp_path / "table.md")]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("### test: 5 skill names of ESCO 9.9.9")
    rows = [line for line in printed.splitlines() if line.startswith("|")]
    assert rows[0] == "| system, RP@5 | TECH | HOUSE | from |"
    assert rows[2].startswith("| good | 100.00 [100.00, 100.00] | 50.00 [")
    assert re.match(r"\| poor \| 50\.00 \[\d+\.\d\d, \d+\.\d\d\] \| 0\.00 \[0\.00, 0\.00\] \| measured \|", rows[3])
    assert "published" not in printed
    assert (tmp_path / "table.md").read_text() == printed.removesuffix("\n")


def save(folder, name, ranks, **options):
    path = folder / f"{name}.json"
    results_of(name, ranks, **options).save(path)
    return str(path)


def test_seeds_are_one_row_with_mean_and_spread():
    """Seeds score 100 and 50 on TECH: mean 75, standard deviation sqrt((25² + 25²) / 1) = 35.36."""
    runs = [results_of("s1", GOOD), results_of("s2", POOR)]
    (group,) = group_runs([], {"ours": runs})
    (entry,) = group.entries
    assert entry.estimate("TECH", "rp@5").value == 0.75
    assert 100 * entry.spread("TECH", "rp@5") == pytest.approx(35.355, abs=0.001)
    row = compare.metric_table(group, [], "rp@5")[2]
    assert row.startswith("| ours | 75.00 ± 35.36 [")
    assert row.endswith("| measured, mean ± standard deviation of 2 seeds |")


def test_files_given_as_seeds_are_not_rows_of_their_own(capsys, tmp_path):
    files = [save(tmp_path, name, GOOD) for name in ("s1", "s2", "other")]
    assert run_command(compare.main, [*files, "--seeds", "ours", *files[:2], "--metrics", "rp@5"]) == 0
    printed = capsys.readouterr().out
    assert "| ours |" in printed
    assert "| other |" in printed
    assert "| s1 |" not in printed


def test_paired_tests_against_the_reference_with_holm():
    """On TECH POOR misses half of the queries, on HOUSE too. Corrected p-values are never below the plain ones."""
    (group,) = group_runs([results_of("good", GOOD), results_of("poor", POOR)], {})
    tests = paired_tests(group, "rp@5")
    assert [(test.system, test.reference, test.benchmark) for test in tests] == [
        ("poor", "good", "TECH"),
        ("poor", "good", "HOUSE"),
    ]
    assert tests[0].paired.difference == -0.5
    # Holm: the smaller of two p-values is doubled, and the larger is no smaller than that.
    low, high = sorted(test.paired.p_value for test in tests)
    assert sorted(test.corrected for test in tests) == pytest.approx([min(2 * low, 1), min(max(2 * low, high), 1)])
    assert min(test.corrected for test in tests) > low
    assert paired_tests(group, "rp@5", "poor")[0].paired.difference == 0.5
    with pytest.raises(StageError, match="no system is named 'gone'"):
        paired_tests(group, "rp@5", "gone")


def test_splits_and_label_spaces_get_tables_of_their_own(capsys, tmp_path):
    files = [save(tmp_path, "a", GOOD), save(tmp_path, "b", GOOD, split="validation")]
    assert run_command(compare.main, files) == 0
    printed = capsys.readouterr().out
    assert printed.count("### ") == 2
    assert "Against" not in printed
    assert run_command(compare.main, [*files, "--split", "validation"]) == 0
    assert capsys.readouterr().out.count("### ") == 1


def test_published_numbers_stand_only_where_they_belong():
    """They were measured on 338 and 262 queries of test with ESCO 1.1.0's 13,891 English names."""
    full = {"TECH": [(1,)] * 338, "HOUSE": [(1,)] * 262}
    text = published_beside(full)
    paper = "[Decorte et al. 2023, arXiv 2307.10778](https://arxiv.org/abs/2307.10778)"
    assert f"| 54.62 | 45.74 | published: {paper} |" in text
    assert "| 63.98 | - | published: [WorkRB's tests](https://github.com/techwolf-ai/workrb) |" in text
    tiny = "[tiny-skill-linker](https://github.com/andypeterson2/tiny-skill-linker)"
    assert f"| 53.80 | 46.62 | published: {tiny} |" in text
    assert "published" not in published_beside(full, version="1.1.1", size=13_896, labels_sha256="1.1.1")
    assert "published" not in published_beside(full, labels_sha256="the German names, as many")
    assert "published" not in published_beside(full, split="validation")
    assert "published" not in published_beside({"TECH": [(1,)] * 20})


def test_published_numbers_stand_beside_the_benchmarks_that_are_whole():
    """TECH is cut down to 20 queries: its column has none, and a system with numbers for TECH alone no row."""
    text = published_beside({"TECH": [(1,)] * 20, "HOUSE": [(1,)] * 262})
    assert "| - | 45.74 | published: [Decorte et al. 2023, arXiv 2307.10778](" in text
    assert "63.98" not in text
    assert "ConTeXT-match" not in text


def published_beside(ranks, **options):
    """The table of RP@5 of one system with these ranks, over the English names of ESCO 1.1.0 unless told otherwise."""
    space = {"version": "1.1.0", "size": 13_891, "labels_sha256": PUBLISHED_LABEL_SPACE}
    (group,) = group_runs([results_of("a", ranks, **{**space, **options})], {})
    return compare.group_as_markdown(group, read_published(), ["rp@5"], "")


def test_every_published_number_is_a_percentage_with_a_source():
    content = json.loads(PUBLISHED_FILE.read_text())
    for system in content["systems"]:
        assert system["source"]
        for scores in system["scores"].values():
            assert all(1 < value < 100 for value in scores.values())


def test_other_json_files_are_left_out_and_named(capsys, tmp_path):
    (tmp_path / "speed.json").write_text('{"seconds": 1}')
    assert len(read_runs([save(tmp_path, "a", GOOD), str(tmp_path / "speed.json")])) == 1
    assert "speed.json holds no evaluation results" in capsys.readouterr().err


def test_the_table_goes_between_the_markers_and_nowhere_else(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("# Title\n\n<!-- results -->\nold\n<!-- /results -->\n\nAfter\n")
    command = [save(tmp_path, "good", GOOD), "--into", str(readme)]
    assert run_command(compare.main, command) == 0
    first = readme.read_text()
    assert first.startswith("# Title\n\n<!-- results -->\n| system, RP@5 |")
    assert first.endswith("|\n<!-- /results -->\n\nAfter\n")
    assert "old" not in first
    assert run_command(compare.main, command) == 0
    assert readme.read_text() == first


def test_a_file_without_markers_is_refused(tmp_path, capsys):
    readme = tmp_path / "README.md"
    readme.write_text("<!-- /results --> <!-- results -->")
    assert run_command(compare.main, [save(tmp_path, "good", GOOD), "--into", str(readme)]) == 2
    assert "has no place for the table" in capsys.readouterr().err
    assert readme.read_text() == "<!-- /results --> <!-- results -->"


def test_what_cannot_be_compared_is_one_line(capsys, tmp_path):
    good = save(tmp_path, "good", GOOD)
    other = save(tmp_path, "other", GOOD, data_sha256="other")
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    for arguments, message in [
        ([good, other], "other was scored on other data named TECH"),
        ([good, good], "two systems are named 'good'. Leave one out, or score it with a --name of its own"),
        ([good, "--seeds", "good", save(tmp_path, "s1", GOOD)], "two systems are named 'good'"),
        ([str(tmp_path / "gone.json")], "gone.json does not exist"),
        ([str(broken)], "broken.json is not JSON"),
        ([], "no evaluation results to compare"),
        (["--seeds", "ours"], "--seeds ours names no file"),
        ([good, "--split", "validation"], "no results are of the split 'validation'"),
        (["--seeds", "x", good, save(tmp_path, "v", GOOD, split="validation")], "different splits or label spaces"),
        ([good, "--metrics", "map@5"], "unknown metric 'map@5'"),
        ([good, "--against", "nobody"], "no system is named 'nobody'"),
    ]:
        assert run_command(compare.main, arguments) == 2, arguments
        assert message in capsys.readouterr().err


def test_figures_are_drawn_light_and_dark(tmp_path, capsys):
    files = [
        save(tmp_path, "good", GOOD, version="1.1.0", size=13_891),
        save(tmp_path, "poor", POOR, version="1.1.0", size=13_891),
    ]
    assert run_command(compare.main, [*files, "--figures", str(tmp_path / "figures")]) == 0
    drawn = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert drawn == [
        "forest-test-dark.svg",
        "forest-test-light.svg",
        "rp-at-k-test-dark.svg",
        "rp-at-k-test-light.svg",
    ]
    assert "thresholds" not in capsys.readouterr().err
    light, dark = ((tmp_path / "figures" / f"forest-test-{theme}.svg").read_text() for theme in ("light", "dark"))
    assert ElementTree.fromstring(light).tag.endswith("svg")
    assert "#0d1117" in dark
    assert "#0d1117" not in light


def test_figures_of_two_label_spaces_have_names_of_their_own(tmp_path):
    files = [save(tmp_path, "good", GOOD), save(tmp_path, "poor", POOR, version="1.1.0", size=13_891)]
    assert run_command(compare.main, [*files, "--figures", str(tmp_path / "figures")]) == 0
    drawn = {path.name for path in (tmp_path / "figures").iterdir()}
    for space in ("5-skill-names-of-esco-9-9-9", "13-891-skill-names-of-esco-1-1-0"):
        assert f"forest-test-{space}-dark.svg" in drawn


def test_label_spaces_of_one_size_and_version_are_told_apart(tmp_path, capsys):
    """Three groups of test and one of validation; the two that read alike show eight digits of their sha256."""
    files = [
        save(tmp_path, "english", GOOD, labels_sha256="0123456789abcdef"),
        save(tmp_path, "german", POOR, labels_sha256="fedcba9876543210"),
        save(tmp_path, "small", GOOD, size=4),
        save(tmp_path, "validation", GOOD, split="validation"),
    ]
    assert run_command(compare.main, [*files, "--figures", str(tmp_path / "figures")]) == 0
    headings = [line.split(", values")[0] for line in capsys.readouterr().out.splitlines() if line.startswith("### ")]
    space = "skill names of ESCO 9.9.9"
    assert headings[:2] == [f"### test: 5 {space}, 01234567", f"### test: 5 {space}, fedcba98"]
    assert headings[2:] == [f"### test: 4 {space}", f"### validation: 5 {space}"]
    drawn = {path.name for path in (tmp_path / "figures").iterdir() if path.match("forest-*-dark.svg")}
    slug = "skill-names-of-esco-9-9-9"
    tests = [f"test-5-{slug}-01234567", f"test-5-{slug}-fedcba98", f"test-4-{slug}"]
    assert drawn == {f"forest-{stem}-dark.svg" for stem in [*tests, "validation"]}


def test_threshold_curves_are_drawn_of_the_best_system(tmp_path, capsys):
    points = [ThresholdPoint(threshold=t, precision=p, recall=r, f1=0.1, rejected=t) for t, p, r in CURVE]
    (best,) = results_of("best", {"TECH": [(1,)] * 40}).benchmarks
    thresholds = ThresholdResult(
        sentences_with_skill=40, sentences_without_skill=9, suggestions_a_sentence=10, points=points, best=points[0],
        calibration=[], auroc=0.5, accepted_at_95_recall=0.9,
    )  # fmt: skip
    record = results_of("best", {"TECH": [(1,)] * 40}).model_copy(
        update={"benchmarks": [best.model_copy(update={"thresholds": thresholds})]}
    )
    record.save(tmp_path / "best.json")
    files = [str(tmp_path / "best.json"), save(tmp_path, "poor", {"TECH": [(9,)] * 40})]
    assert run_command(compare.main, [*files, "--figures", str(tmp_path / "figures")]) == 0
    assert (tmp_path / "figures" / "thresholds-test-dark.svg").stat().st_size > 10_000
    values = threshold_values(thresholds, gold_labels=40)
    assert values["recall"].tolist() == [0.5, 0.25, 0.1]
    assert values["precision"][:2].tolist() == [0.5, 1.0]
    assert np.isnan(values["precision"][2])


# Of 40 gold labels: 20 found among 40 kept, 10 among 10, and 4 among 4, which is too few to speak of precision.
CURVE = [(0.1, 0.5, 0.5), (0.5, 1.0, 0.25), (0.9, 1.0, 0.1)]


def test_slices_of_several_systems_stand_side_by_side(tmp_path, capsys):
    """One system has a slice that the other lacks; two seeds at 50 and 100 give 75; lengths stand in order of size."""
    with_slices(tmp_path, "one", {"length": {"16-30 words": 0.5, "8-15 words": 0.25}, "training": {"unseen": 1.0}})
    for name, value in (("s1", 0.5), ("s2", 1.0)):
        with_slices(tmp_path, name, {"length": {"16-30 words": value, "8-15 words": 0.0}})
    files = [str(tmp_path / f"{name}.json") for name in ("one", "s1", "s2")]
    assert run_command(compare.main, [files[0], "--seeds", "se|eds", *files[1:], "--slices"]) == 0
    printed = capsys.readouterr().out
    assert printed[printed.index("#### TECH") :].splitlines() == [
        "#### TECH, RP@5 by slice",
        "",
        "| slice | | queries | one | se\\|eds |",
        "| --- | --- | ---: | ---: | ---: |",
        "| length | 8-15 words | 7 | 25.00 [20.00, 90.00] | 0.00 |",
        "| length | 16-30 words | 7 | 50.00 [20.00, 90.00] | 75.00 |",
        "| training | unseen | 7 | 100.00 [20.00, 90.00] | - |",
        "",
    ]
    assert run_command(compare.main, [files[0], "--slices", "--metrics", "hit@5"]) == 2
    assert "slices are not measured by hit@5" in capsys.readouterr().err


def test_slices_of_different_queries_say_so(tmp_path, capsys):
    """Other folds were held out: 7 queries are unseen for one system, 9 for another; two seeds differ, 7 and 8."""
    for name, queries in (("one", 7), ("other", 9), ("s1", 7), ("s2", 8)):
        with_slices(tmp_path, name, {"training": {"unseen": 0.5}}, queries)
    with_slices(tmp_path, "none", {"length": {"8-15 words": 0.5}})
    one, other, none, *seeds = (str(tmp_path / f"{name}.json") for name in ("one", "other", "none", "s1", "s2"))
    assert run_command(compare.main, [one, other, none, "--seeds", "seeds", *seeds, "--slices"]) == 0
    printed = capsys.readouterr().out
    value = "50.00 [20.00, 90.00]"
    assert f"| training | unseen | 7, 9, -, 7/8 | {value} | {value} | - | - |" in printed
    assert f"| length | 8-15 words | 7 | - | - | {value} | - |" in printed


def with_slices(folder, name, values, queries=7):
    """Save results of 20 queries with slices of so many queries each, whose RP@5 is given."""
    record = results_of(name, {"TECH": [(1,)] * 20})
    slices = {
        kind: {
            value: SliceResult(queries=queries, metrics={"rp@5": Estimate(value=share, low=0.2, high=0.9)})
            for value, share in found.items()
        }
        for kind, found in values.items()
    }
    benchmarks = [record.benchmarks[0].model_copy(update={"slices": slices})]
    record.model_copy(update={"benchmarks": benchmarks}).save(folder / f"{name}.json")
