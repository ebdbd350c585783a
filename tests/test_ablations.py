import csv
import json
from pathlib import Path

import numpy as np
import pytest

from dataset_builder.contract import StageError
from dataset_builder.esco import read_esco
from tests.tiny_encoder import write_tiny_encoder
from training import ablation_grid, ablation_report, ablations
from training.ablation_grid import GRID, recipe_of
from training.ablation_report import render_table, signed
from training.ablation_results import AblationResults, AblationRow, Interval, RowRun, compare, interval
from training.bench import newest_dataset
from training.label_space import label_space_of_esco
from training.recipe import read_recipe, recipe_from_dict
from training.run_record import DatasetSource, ModelSource, TrainingRecord

REPO = Path(__file__).resolve().parent.parent


def test_every_row_is_a_recipe_of_the_same_budget():
    """10,000 pairs a run, shared by the stages where there are two; validation is left to the driver."""
    for row in GRID:
        recipe = recipe_of(row, seed=2)
        assert sum(stage.pairs_limit or 0 for stage in recipe.stages) == 10_000
        # 156 batches of 64 are 9,984 pairs, whatever a source holds.
        assert sum(stage.max_steps or 0 for stage in recipe.stages) == 156
        assert {stage.batch_size for stage in recipe.stages} == {64}
        assert (recipe.seed, recipe.validation.times_per_epoch) == (2, 0)
    assert len({(row.question, row.name) for row in GRID}) == len(GRID)


def test_the_issue_s_questions_are_all_there():
    asked = {row.question for row in GRID}
    assert asked >= {"augmentation", "sources", "sentence_count", "style", "filters", "masks", "curriculum"}
    assert asked >= {"unseen_skills", "skillskape", "language_model", "positives"}


def test_rows_that_were_measured_are_still_of_the_grid():
    """A row of results/ablations.json is known again by its question, name and whole recipe."""
    grid = {(row.question, row.name, str(recipe_of(row, 1).as_dict())) for row in GRID}
    measured = [row for row in AblationResults.load(REPO / "results" / "ablations.json").rows if row.seeds]
    assert measured
    assert [row.name for row in measured if (row.question, row.name, str(row.recipe)) not in grid] == []


def test_rows_on_file_are_still_recipes():
    for row in AblationResults.load(REPO / "results" / "ablations.json").rows:
        assert recipe_from_dict(row.recipe).as_dict() == row.recipe


def test_sentences_a_skill_are_each_seen_so_often_that_the_budget_is_the_same():
    """k sentences a skill, each seen 10 / k times, are 10 a skill; 1,000 skills with 10 are the budget of 10,000."""
    counts = [recipe_of(row, 1).stages[0].sources["synthetic"] for row in GRID if row.question == "sentence_count"]
    assert [count.per_skill for count in counts] == [10, 5, 3, 1]
    assert [(count.per_skill or 0) * count.weight for count in counts] == pytest.approx([10, 10, 10, 10])
    assert {(count.at_least, count.skills) for count in counts} == {(10, 1_000)}


def test_the_released_dataset_has_the_skills_that_sentence_counts_need():
    manifest = json.loads((Path(newest_dataset()) / "manifest.json").read_text(encoding="utf-8"))
    skills = manifest["histograms"]["sentences_per_skill"]
    for row in GRID:
        if row.question == "sentence_count":
            source = recipe_of(row, 1).stages[0].sources["synthetic"]
            assert sum(number for count, number in skills.items() if int(count) >= source.at_least) >= source.skills


def test_the_released_loss_is_a_row():
    (row,) = [row for row in GRID if (row.question, row.name) == ("scoring", "token_and_cosine")]
    released = read_recipe(REPO / "training" / "recipes" / "minilm_pseudo_token_and_cosine.yaml")
    assert recipe_of(row, 1).stages[0].loss == released.stages[0].loss


def test_a_difference_is_paired_by_sentence():
    """Two seeds: differences (0.5, 0.5) and (0.1, 0.3), so by sentence 0.3 and 0.4, and 0.35 on the whole."""
    rows = {1: {"a": [1.0, 0.5]}, 2: {"a": [0.6, 0.5]}}
    first = {1: {"a": [0.5, 0.0]}, 2: {"a": [0.5, 0.2]}, 3: {"a": [0.9, 0.9]}}
    result = compare(rows, first)["a"]
    assert result.rp_at_5.value == pytest.approx((0.8 + 0.5) / 2)
    assert result.by_seed == pytest.approx([0.75, 0.55])
    assert result.difference is not None
    assert result.difference.value == pytest.approx(0.35)
    assert (result.difference.low, result.difference.high) == pytest.approx((0.3, 0.4))


def test_sets_that_differ_are_not_compared():
    assert compare({1: {"a": [1.0]}}, {1: {"a": [1.0, 0.0]}})["a"].difference is None
    assert compare({1: {"a": [1.0]}}, {})["a"].difference is None
    assert compare({}, {1: {"a": [1.0]}}) == {}


def test_an_interval_covers_about_two_standard_errors():
    """100 values, half 0 and half 1: mean 0.5, standard error 0.05, so about 0.40 to 0.60."""
    found = interval(np.repeat([0.0, 1.0], 50))
    assert found.value == 0.5
    assert (found.low, found.high) == pytest.approx((0.40, 0.60), abs=0.012)
    assert interval(np.array([0.25])) == Interval(value=0.25, low=0.25, high=0.25)


def results() -> AblationResults:
    def row(name: str, scores: dict, baseline: dict) -> AblationRow:
        sets = compare(scores, baseline)
        return AblationRow(
            question="masks", name=name, what="text", recipe={}, seeds=sorted(scores), not_run=None, pairs=10, sets=sets
        )

    first, second = {1: {"tech": [0.2, 0.4]}}, {1: {"tech": [0.5, 0.5]}}
    rows = [row("masked", first, first), row("not_masked", second, first)]
    absent = rows[0].model_copy(update={"name": "other", "seeds": [], "sets": {}})
    rows.append(absent.model_copy(update={"not_run": "needs --other-llm"}))
    return AblationResults(schema_version=1, created_at="now", code_version="x", budget_pairs=10, rows=rows)


def test_the_table_by_hand():
    """0.3 against 0.5: +20.0, from +10.0 (0.5 - 0.4) to +30.0 (0.5 - 0.2)."""
    lines = render_table(results()).splitlines()
    assert lines[0] == "| Question | Row | Pairs | Seeds | tech |"
    assert lines[2] == "| masks | masked: text | 10 | 1 | 30.0 |"
    assert lines[3] == "|  | not masked: text | 10 | 1 | 50.0 (+20.0 [+10.0, +30.0]) |"
    assert "needs --other-llm" in lines[4]
    assert signed(Interval(value=-0.012, low=-0.02, high=0.001)) == "-1.2 [-2.0, +0.1]"


def test_the_table_says_what_its_rows_were_trained_on():
    """Two rows measured, one on `own` and one on `other`; of the third, as long as it is not run, nothing is said."""
    own = RowRun(
        seed=1,
        code_version="x",
        base_model=ModelSource(id="minilm", revision=None, weights_sha256="0"),
        dataset=DatasetSource(id="own", revision=None, version="1.0.0", sha256="0123456789"),
        inputs_sha256=None,
    )
    other = own.model_copy(update={"dataset": own.dataset.model_copy(update={"id": "other"})})

    def told(*runs: tuple[RowRun, ...]) -> list[str]:
        rows = [row.model_copy(update={"runs": one}) for row, one in zip(results().rows, (*runs, ()), strict=True)]
        table = render_table(results().model_copy(update={"rows": rows}))
        return [line for line in table.splitlines() if line.startswith("Trained on")]

    name = "{} 1.0.0 (pairs 01234567) from minilm"
    assert told((own,), (own, own)) == [f"Trained on {name.format('own')}."]
    assert told((own,), (other,)) == [f"Trained on {name.format('own')}: 1 row(s); {name.format('other')}: 1 row(s)."]
    assert told((own,), ()) == [f"Trained on {name.format('own')}: 1 row(s); what the file does not say: 1 row(s)."]
    assert told((), ()) == []
    for dataset in ({"id": "v1.0.0"}, {"id": "v1.0.0", "version": "unknown"}):
        named = own.model_copy(update={"dataset": own.dataset.model_copy(update=dataset)})
        assert told((named,), (named,)) == ["Trained on v1.0.0 (pairs 01234567) from minilm."]


def test_the_readme_s_table_has_all_that_is_asked_now():
    """What came into the grid since the file was written waits, as what is in the file and was not run."""
    table = render_table(ablation_report.with_whole_grid(AblationResults.load(REPO / "results" / "ablations.json")))
    assert f"<!-- ablations -->\n{table}\n<!-- /ablations -->" in (REPO / "training" / "README.md").read_text("utf-8")
    waiting = table.partition("Not run yet: ")[2].rstrip(".").split(", ")
    asked = [line.removeprefix("| ").partition(" | ")[0] for line in table.splitlines()[2:]]
    assert {row.question.replace("_", " ") for row in GRID} <= {*asked, *waiting}


def test_a_row_that_is_asked_no_more_stays_where_it_was_measured():
    (kept, _, dropped) = results().rows
    rows = [row.model_copy(update={"question": "old"}) for row in (kept, dropped)]
    whole = ablation_report.with_whole_grid(results().model_copy(update={"rows": rows})).rows
    assert len(whole) == len(GRID) + 1
    assert whole[-1] == rows[0]


def test_a_question_is_shown_as_it_was_or_as_it_is_asked_now():
    """On file: 4 and 1 sentences a skill by recipes of before. They stay until the first of now, 10, is measured."""
    asked = {row.name: recipe_of(row, 1).as_dict() for row in GRID if row.question == "sentence_count"}

    def row(name: str, recipe: dict) -> AblationRow:
        return results().rows[0].model_copy(update={"question": "sentence_count", "name": name, "recipe": recipe})

    def shown(*rows: AblationRow) -> list[AblationRow]:
        whole = ablation_report.with_whole_grid(results().model_copy(update={"rows": list(rows)})).rows
        return [row for row in whole if row.question == "sentence_count"]

    old = [row(name, {**asked["1_a_skill"], "max_tokens": 32}) for name in ("4_a_skill", "1_a_skill")]
    assert shown(*old) == old
    # By the grid's recipe, as a file has it that was written before `chunk_size` was a key, in other words.
    ten = row("10_a_skill", {**asked["10_a_skill"], "description": "ten"})
    del ten.recipe["chunk_size"]
    found = shown(*old, ten)
    assert found[0] == ten
    assert [(one.name, one.seeds) for one in found[1:]] == [("5_a_skill", []), ("3_a_skill", []), ("1_a_skill", [])]


def test_a_figure_of_nothing_measured_is_empty(tmp_path: Path):
    nothing = results()
    rows = [row.model_copy(update={"sets": {}, "seeds": []}) for row in nothing.rows]
    nothing.model_copy(update={"rows": rows}).save(tmp_path / "ablations.json")
    ablation_report.main([str(tmp_path / "ablations.json"), "--figure", str(tmp_path / "ablations.png")])
    assert (tmp_path / "ablations.png").read_bytes().startswith(b"\x89PNG")


def test_table_and_figure_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    results().save(tmp_path / "ablations.json")
    ablation_report.main([str(tmp_path / "ablations.json"), "--figure", str(tmp_path / "ablations.png")])
    assert "| not masked: text |" in capsys.readouterr().out
    assert (tmp_path / "ablations.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Inputs over the sample of ESCO: three sentences for each of 40 skills; runs of 64 pairs."""
    monkeypatch.setattr(ablation_grid, "BUDGET", 64)
    esco = REPO / "dataset_builder" / "sample_esco"
    labels = [skill.label for skill in read_esco(esco).skills[:40]]
    with (tmp_path / "dataset.csv").open("w", newline="") as file:
        rows = [(form.format(label), label) for label in labels for form in ("We {}.", "You {} in a team.", "To {}!")]
        csv.writer(file).writerows([("sentence", "skill"), *rows])
    with (tmp_path / "own_validation.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("sentence", "label"), *((f"Please {label}", label) for label in labels[:9])])
    names = {
        "--dataset": tmp_path / "dataset.csv",
        "--base-model": write_tiny_encoder(tmp_path / "encoder"),
        "--esco": esco,
        "--validation": tmp_path / "own_validation.csv",
        "--work": tmp_path / "work",
        "--out": tmp_path / "ablations.json",
    }
    return [str(part) for pair in names.items() for part in pair]


def test_runs_are_made_once_and_shared(tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]):
    """The first rows of `filters` and `scoring` are one and the same recipe, so one run serves both."""
    ablations.main([*arguments, "--only", "filters", "scoring"])
    assert len(list((tmp_path / "work").iterdir())) == 3
    rows = {(row.question, row.name): row for row in AblationResults.load(tmp_path / "ablations.json").rows}
    assert rows["filters", "filtered"].seeds == rows["scoring", "cosine"].seeds == [1]
    assert rows["filters", "unfiltered"].not_run == "needs --unfiltered"
    assert rows["curriculum", "together"].not_run == "not yet"
    assert rows["scoring", "cosine"].sets["own"].difference is None
    (run,) = rows["scoring", "cosine"].runs
    assert (run.seed, run.dataset.id, run.base_model.id) == (1, "dataset.csv", "encoder")
    assert len(run.inputs_sha256 or "") == 64
    assert rows["curriculum", "together"].runs == ()
    assert rows["scoring", "token_match"].sets["own"].difference is not None
    assert (rows["scoring", "token_match"].pairs, rows["scoring", "token_match"].sets["own"].sentences) == (64, 9)
    capsys.readouterr()
    ablations.main([*arguments, "--only", "filters", "scoring"])
    assert capsys.readouterr().out.count("nothing to do") == 4


def test_a_source_below_the_budget_is_seen_as_often_as_others(tmp_path: Path, arguments: list[str], monkeypatch):
    """120 pairs and 256 to train on: 256 / 64 = 4 steps, in which each is seen about twice."""
    monkeypatch.setattr(ablation_grid, "BUDGET", 256)
    ablations.main([*arguments, "--only", "filters"])
    (folder,) = (tmp_path / "work").iterdir()
    record = TrainingRecord.load(folder)
    assert (record.steps, sum(source.pairs for source in record.sources)) == (4, 120)


def test_rows_of_earlier_questions_stay_in_the_file(tmp_path: Path, arguments: list[str]):
    """Another dev split is measured on and only `scoring` is asked for: what `augmentation` came to before is kept."""
    ablations.main([*arguments, "--only", "augmentation"])
    (tmp_path / "dev.csv").write_text("sentence,skills\nDo this.,['no skill']\n")
    ablations.main([*arguments, "--only", "scoring", "--skillskape-dev", str(tmp_path / "dev.csv")])
    rows = {(row.question, row.name): row for row in AblationResults.load(tmp_path / "ablations.json").rows}
    assert rows["augmentation", "joined"].seeds == rows["scoring", "cosine"].seeds == [1]


def test_a_question_is_of_one_call_or_the_other(tmp_path: Path):
    """`masks` was not asked, and its first row came along with another question's run: 0.9 in place of 0.3.

    Its second row is +0.2 against 0.3 and was not measured now, so both stay as they were; asked for, both are as now.
    """
    earlier = results()
    earlier.save(tmp_path / "ablations.json")
    first, second, third = earlier.rows
    scores = {1: {"tech": [0.9, 0.9]}}
    now = [
        first.model_copy(update={"sets": compare(scores, scores)}),
        second.model_copy(update={"seeds": [], "sets": {}, "not_run": "not yet"}),
        third,
    ]
    results_now = earlier.model_copy(update={"rows": now})
    assert ablations.with_earlier(results_now, {"scoring"}, tmp_path / "ablations.json").rows == [first, second, third]
    assert ablations.with_earlier(results_now, {"masks"}, tmp_path / "ablations.json").rows == now


def test_a_question_that_was_not_asked_stays_whatever_its_recipes_are(tmp_path: Path):
    """On file: `masks` by another recipe, and `old`, which nobody asks any more. `scoring` is asked.

    Asked for and measured, `masks` is as now; asked for and not measured, what there is stays.
    """
    earlier = results()
    rows = [*earlier.rows, earlier.rows[0].model_copy(update={"question": "old"})]
    earlier.model_copy(update={"rows": rows}).save(tmp_path / "ablations.json")
    now = [row.model_copy(update={"recipe": {"key": "new"}}) for row in earlier.rows[:2]]
    scored = now[0].model_copy(update={"question": "scoring"})
    waiting = [row.model_copy(update={"seeds": [], "sets": {}, "not_run": "not yet"}) for row in now]

    def written(masks: list[AblationRow], *wanted: str) -> list[AblationRow]:
        new = earlier.model_copy(update={"rows": [*masks, scored]})
        return ablations.with_earlier(new, wanted, tmp_path / "ablations.json").rows

    for masks in (now, waiting):
        assert written(masks, "scoring") == [*earlier.rows, scored, rows[-1]]
    assert written(now, "masks", "scoring") == [*now, scored, rows[-1]]
    assert written(waiting, "masks", "scoring") == [*earlier.rows, scored, rows[-1]]


def test_another_llm_s_dataset_that_is_none_costs_its_row_alone(tmp_path: Path, arguments: list[str]):
    ablations.main([*arguments, "--only", "language_model", "negatives", "--other-llm", str(tmp_path / "none.csv")])
    rows = {(row.question, row.name): row for row in AblationResults.load(tmp_path / "ablations.json").rows}
    assert "none.csv" in (rows["language_model", "other"].not_run or "")
    assert rows["negatives", "in_batch"].seeds == [1]


def test_a_row_that_fails_does_not_cost_the_others(tmp_path: Path, arguments: list[str]):
    """No skill of the dataset has ten sentences: that question says so, and the next is measured."""
    ablations.main([*arguments, "--only", "sentence_count", "negatives"])
    rows = {(row.question, row.name): row for row in AblationResults.load(tmp_path / "ablations.json").rows}
    assert "at_least: 10 keeps none of its 120 pairs" in (rows["sentence_count", "10_a_skill"].not_run or "")
    assert rows["negatives", "in_batch"].seeds == [1]


def test_a_seed_that_fails_does_not_cost_the_others(tmp_path: Path, arguments: list[str], monkeypatch):
    """The second seed of one row runs out of memory: its first stays, and so do the rows compared with it."""
    run, failing = ablations._run_and_score, ("scoring", "cosine", 2)

    def run_or_fail(row, seed, places):
        if (row.question, row.name, seed) == failing:
            raise StageError("out of memory", "Take less")
        run(row, seed, places)

    monkeypatch.setattr(ablations, "_run_and_score", run_or_fail)
    ablations.main([*arguments, "--only", "scoring", "--seeds", "2"])
    rows = {(row.question, row.name): row for row in AblationResults.load(tmp_path / "ablations.json").rows}
    assert rows["scoring", "cosine"].seeds == [1]
    assert rows["scoring", "token_match"].seeds == [1, 2]
    assert rows["scoring", "token_match"].sets["own"].difference is not None


def test_scores_of_other_inputs_are_not_told_as_those_of_this_call(tmp_path: Path, arguments: list[str]):
    """`cosine` was run on another dataset: it is refused, has no scores any more, and nothing is compared with it."""
    ablations.main([*arguments, "--only", "scoring"])
    for path in (tmp_path / "work").glob("*/training_record.json"):
        record = TrainingRecord.load(path)
        if record.recipe["stages"][0]["loss"]["name"] == "masked_mnrl":
            record.model_copy(update={"inputs_sha256": "of others"}).save(path)
    ablations.main([*arguments, "--only", "scoring"])
    rows = {(row.question, row.name): row for row in AblationResults.load(tmp_path / "ablations.json").rows}
    refused, other = rows["scoring", "cosine"], rows["scoring", "token_match"]
    assert (refused.seeds, refused.pairs, refused.sets) == ([], 0, {})
    assert "other inputs" in (refused.not_run or "")
    assert (other.seeds, other.not_run, other.sets["own"].difference) == ([1], None, None)


def test_other_sentences_to_measure_on_are_measured(tmp_path: Path, arguments: list[str], capsys):
    ablations.main([*arguments, "--only", "filters"])
    with (tmp_path / "dev.csv").open("w", newline="") as file:
        label = read_esco(REPO / "dataset_builder" / "sample_esco").skills[0].label
        csv.writer(file).writerows([("sentence", "skills"), ("Do this.", f"[{label!r}]")])
    capsys.readouterr()
    ablations.main([*arguments, "--only", "filters", "--skillskape-dev", str(tmp_path / "dev.csv")])
    assert "nothing to do" in capsys.readouterr().out
    rows = {(row.question, row.name): row for row in AblationResults.load(tmp_path / "ablations.json").rows}
    assert rows["filters", "filtered"].sets["skillskape_dev"].sentences == 1


def test_a_repeated_sentence_asks_for_all_that_its_rows_say(tmp_path: Path):
    esco = read_esco(REPO / "dataset_builder" / "sample_esco")
    one, two = esco.skills[0].label, esco.skills[1].label
    with (tmp_path / "dev.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("sentence", "skills"), ("Do this.", f"[{one!r}]"), ("do this", f"[{two!r}]")])
    recipe = recipe_of(GRID[0], 1)
    (query,) = ablations.unseen_benchmark(str(tmp_path / "dev.csv"), label_space_of_esco(esco), recipe).queries
    assert query.labels == (one, two)


def test_a_dry_run_says_what_is_missing(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    ablations.main([*arguments, "--dry-run"])
    printed = capsys.readouterr().out
    assert printed.count("\n") == len(GRID)
    assert "needs --skillskape" in printed


def test_a_question_that_is_none(arguments: list[str]):
    with pytest.raises(StageError, match=r"no question 'sauces'\. Questions: augmentation, definitions, sources"):
        ablations.main([*arguments, "--only", "sauces"])
