from pathlib import Path

import pytest
import yaml

from dataset_builder.contract import StageError
from training.recipe import SOURCES, read_recipe, recipe_from_dict

RECIPES = sorted((Path(__file__).resolve().parent.parent / "training" / "recipes").glob("*.yaml"))
SMALL = {"name": "x", "stages": [{"name": "one", "sources": {"synthetic": {}}}]}


def changed(**values) -> dict:
    return {**SMALL, "stages": [{**SMALL["stages"][0], **values}]}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_that_ship_can_be_read(path: Path):
    recipe = read_recipe(path)
    assert recipe.name == path.stem
    assert recipe.base_model


def test_the_paper_s_recipe_is_the_paper_s(repo: Path):
    """Section 3.2: MNRL with scale 20, batch 64, 2e-5, 5% linear warm-up, one epoch, another sentence joined."""
    (stage,) = read_recipe(repo / "training" / "recipes" / "paper.yaml").stages
    assert (stage.loss.name, stage.loss.scale, stage.batch_size, stage.learning_rate) == ("mnrl", 20.0, 64, 2e-5)
    assert (stage.optimizer, stage.warmup, stage.schedule, stage.epochs) == ("adamw", 0.05, "linear", 1)
    assert (stage.augmentation.join, stage.augmentation.join_side) == (1.0, "either")
    assert set(stage.sources) == {"synthetic"}
    assert stage.loss.mask == ()  # and so a record says


def test_a_recipe_written_out_reads_back_the_same():
    recipe = recipe_from_dict(changed(loss={"name": "masked_mnrl", "mask": ["linked"], "matryoshka": [16, 8]}))
    assert recipe_from_dict(yaml.safe_load(yaml.safe_dump(recipe.as_dict()))) == recipe


def test_yaml_s_exponents_without_a_point_are_numbers():
    """PyYAML reads `2e-5` as text and `2.0e-5` as a number."""
    values = yaml.safe_load("name: x\nstages: [{name: a, sources: {labels: }, learning_rate: 2e-5}]")
    assert recipe_from_dict(values).stages[0].learning_rate == 0.00002


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({**SMALL, "bath_size": 3}, ["unknown key 'bath_size'", "Known keys here: name, stages"]),
        (changed(lr=1), ["stages[0]", "unknown key 'lr'", "learning_rate"]),
        (changed(loss={"scle": 20}), ["stages[0]: loss", "unknown key 'scle'", "scale"]),
        (changed(loss={"name": "triplet"}), ["loss name must be one of mnrl, masked_mnrl, token_match", "'triplet'"]),
        (changed(loss={"mask": ["twin"]}), ["mask may name", "twin"]),
        (changed(sources={"web": {}}), ["unknown source 'web'", *SOURCES]),
        (changed(sources={}), ["needs at least one source"]),
        (changed(sources={"synthetic": {"weight": 0}}), ["weight must be above 0"]),
        (changed(sources={"synthetic": {"weight": float("inf")}}), ["weight: expected a finite number, got inf"]),
        (changed(sources={"synthetic": {"weight": "1e400"}}), ["weight: expected a finite number, got inf"]),
        (changed(sources={"synthetic": {"skills": -1}}), ["skills must be above 0, got -1"]),
        (changed(sources={"synthetic": {"at_least": 0}}), ["at_least must be above 0, got 0"]),
        (changed(pairs_limit=-5), ["pairs_limit must be above 0, got -5"]),
        (changed(gradient_accumulation=0), ["gradient_accumulation must be at least 1"]),
        ({**SMALL, "chunk_size": -1}, ["chunk_size must not be negative, got -1"]),
        (changed(batch_size=1), ["batch_size must be at least 2"]),
        (changed(batch_size="64"), ["batch_size: expected int, got '64'"]),
        (changed(batch_size=True), ["batch_size: expected int, got True"]),
        (changed(learning_rate="fast"), ["learning_rate: expected float, got 'fast'"]),
        (changed(optimizer="lion"), ["optimizer must be one of adamw, adafactor, sgd, got 'lion'"]),
        (changed(augmentation={"join": 1.5}), ["join is a probability, got 1.5"]),
        (changed(loss={"name": "token_match", "symmetric": True}), ["token_match goes with none of"]),
        (changed(loss={"several_positives": True}), ["several_positives needs"]),
        (
            changed(loss={"name": "masked_mnrl", "mask": ["joined"], "several_positives": True}),
            ["several_positives needs one of our losses with same_skill masked"],
        ),
        (
            changed(loss={"name": "masked_mnrl"}, augmentation={"joined_labels_are_positives": True}),
            ["joined_labels_are_positives needs loss.several_positives"],
        ),
        (changed(augmentation={"joined_labels_are_positives": True}), ["joined_labels_are_positives needs"]),
        (changed(loss={"mask": ["same_skill", "near"]}), ["mnrl masks nothing, got mask same_skill, near"]),
        (changed(loss={"mask": ["linked"]}), ["mnrl masks nothing, got mask linked"]),
        ({**SMALL, "held_out_folds": [10]}, ["held_out_folds are numbers from 0 to 9"]),
        ({**SMALL, "seed": -1}, ["seed must be from 0 to 4294967295, got -1"]),
        ({**SMALL, "seed": 2**32}, ["seed must be from 0 to 4294967295, got 4294967296"]),
        (changed(loss={"matryoshka": [32, 0]}), ["matryoshka sizes must be above 0, got [0]"]),
        (changed(loss={"matryoshka": [-5]}), ["matryoshka sizes must be above 0, got [-5]"]),
        (changed(negatives={"pool": 0}), ["pool must be at least 1, got 0"]),
        (changed(negatives={"skip_nearest": -1}), ["skip_nearest must not be negative, got -1"]),
        ({**SMALL, "stages": []}, ["needs at least one stage"]),
        ({**SMALL, "stages": SMALL["stages"] * 2}, ["different names"]),
        ({"name": "x"}, ["key 'stages' is missing"]),
        ({**SMALL, "precision": "fp8"}, ["precision must be one of auto, bf16, fp32"]),
        (["name"], ["expected keys and values"]),
    ],
)
def test_wrong_values_are_named(values, words: list[str]):
    with pytest.raises(StageError) as error:
        recipe_from_dict(values, "my.yaml")
    assert str(error.value).startswith("my.yaml")
    for word in words:
        assert word in str(error.value)


def test_what_is_no_contradiction_can_be_read():
    """A record holds the default mask of `mnrl` as well; hard negatives keep to 'linked' and 'near' with any loss."""
    recipe_from_dict(recipe_from_dict(SMALL).as_dict())
    recipe_from_dict(changed(loss={"mask": []}))
    recipe_from_dict(changed(loss={"mask": ["near"]}, negatives={"count": 1}))
    positives = {"augmentation": {"joined_labels_are_positives": True}}
    recipe_from_dict(changed(loss={"name": "token_and_cosine", "several_positives": True}, **positives))


def test_a_file_that_is_none(tmp_path: Path):
    with pytest.raises(StageError, match=r"absent\.yaml does not exist"):
        read_recipe(tmp_path / "absent.yaml")
    (tmp_path / "broken.yaml").write_text("name: [x")
    with pytest.raises(StageError, match="is not YAML"):
        read_recipe(tmp_path / "broken.yaml")
