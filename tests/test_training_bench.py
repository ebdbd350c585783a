import inspect
from pathlib import Path

import pytest
from sentence_transformers import SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from torch.autograd import DeviceType

from dataset_builder.contract import StageError
from dataset_builder.markdown_parts import markers_of
from tests.tiny_encoder import write_tiny_dataset, write_tiny_encoder
from training import bench, bench_report, model_flops
from training.base_model import open_encoder
from training.bench import newest_dataset
from training.bench_report import Measurement, TrainingSpeed, render
from training.machine import precision_in_use
from training.recipe import Loss
from training.run_record import DatasetSource
from training.step_times import by_kind, kind_of

GB = 10**9


def test_both_ways_train_and_are_measured(tmp_path: Path, capsys):
    """Two steps of eight pairs each way, each in a process of its own."""
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(
        "name: tiny\nmax_tokens: 16\nstages: [{name: one, sources: {synthetic: {}}, batch_size: 8}]\n", encoding="utf-8"
    )
    dataset, encoder = write_tiny_dataset(tmp_path / "pairs.csv"), write_tiny_encoder(tmp_path / "encoder")
    places = ["--recipe", str(recipe), "--dataset", str(dataset), "--base-model", str(encoder)]
    bench.main([*places, "--steps", "2", "--batch-size", "8", "--no-memory", "--out", str(tmp_path / "speed.json")])
    record = TrainingSpeed.load(tmp_path / "speed.json")
    plain, ours = record.speed
    assert [(one.way, one.steps, one.batch_size) for one in record.speed] == [("plain", 2, 8), ("ours", 2, 8)]
    assert (plain.precision, ours.precision) == ("fp32", precision_in_use("auto"))
    assert (plain.max_tokens, ours.max_tokens) == (64, 16)
    assert all(one.pairs_per_s > 0 and one.peak_memory_bytes > 10**7 for one in record.speed)
    assert (record.base_model, record.dataset.id, record.device) == ("encoder", "pairs.csv", "cpu")
    assert sum(record.sentence_lengths.values()) == 96
    assert record.matrix_flops_per_s > 0
    # The same pairs, none of them longer than 16 tokens: as many operations a pair.
    assert set(record.sentence_lengths) <= {"1-8", "9-16"}
    assert not plain.step_seconds
    assert {"matrix products", "optimiser", "element by element"} <= set(ours.step_seconds)
    assert all(seconds > 0 for seconds in ours.step_seconds.values())
    assert plain.model_flops_per_s / plain.pairs_per_s == pytest.approx(ours.model_flops_per_s / ours.pairs_per_s)
    printed = capsys.readouterr().out
    assert "| ours |" in printed
    assert "| matrix products |" in printed


def test_ours_is_measured_with_the_plain_example_s_loss_and_optimiser(tmp_path: Path):
    """Whatever the recipe says of them: the library's scale of 20, a step a batch, AdamW on the linear schedule."""
    loss = "{name: masked_mnrl, scale: 50, symmetric: true, matryoshka: [8], label_memory: 3}"
    more = "gradient_accumulation: 4, optimizer: sgd, weight_decay: 0.1, schedule: cosine, max_grad_norm: 9"
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(
        "name: x\ncheckpoints_per_epoch: 24\n"
        f"stages: [{{name: one, sources: {{labels: {{}}}}, learning_rate: 0.1, loss: {loss}, {more}}}]\n",
        encoding="utf-8",
    )
    dataset, encoder = write_tiny_dataset(tmp_path / "pairs.csv"), write_tiny_encoder(tmp_path / "encoder")
    given = bench._parser().parse_args(
        ["--recipe", str(recipe), "--dataset", str(dataset), "--base-model", str(encoder)]
    )
    for cached in (False, True):
        prepared = bench._prepared(given, 8, 2, cached).recipe
        assert prepared.checkpoints_per_epoch == 1  # written at the end alone
        (stage,) = prepared.stages
        assert stage.loss == Loss(name="masked_mnrl", mask=(), mini_batch=16 if cached else 0)
        library = inspect.signature(MultipleNegativesRankingLoss).parameters
        assert stage.loss.scale == library["scale"].default
        assert (stage.batch_size, stage.max_steps, stage.gradient_accumulation) == (8, 2, 1)
        plain = SentenceTransformerTrainingArguments(output_dir=str(tmp_path), report_to=[])
        assert stage.optimizer == "adamw"
        assert plain.optim.startswith("adamw")
        assert (stage.weight_decay, stage.schedule, stage.max_grad_norm) == (
            plain.weight_decay,
            plain.lr_scheduler_type,
            plain.max_grad_norm,
        )
        assert stage.learning_rate == 0.1


def speed_of(device: str) -> TrainingSpeed:
    one = {"batch_size": 64, "steps": 100, "rp_at_5": {"rp@5_tech": 0.5}}
    plain = Measurement(
        way="plain", precision="fp32", max_tokens=None, pairs_per_s=20.0, peak_memory_bytes=3 * GB, **one
    )
    ours = Measurement(
        way="ours",
        precision="bf16",
        max_tokens=64,
        pairs_per_s=80.0,
        peak_memory_bytes=2 * GB,
        model_flops_per_s=0.25e12,
        step_seconds={"matrix products": 0.5, "dropout": 0.1},
        **one,
    )
    return TrainingSpeed(
        schema_version=TrainingSpeed.SCHEMA_VERSION,
        code_version="abc",
        processor="a processor",
        device=device,
        cpu_cores=2,
        recipe_name="paper",
        base_model="tiny",
        dataset=DatasetSource(id="pairs", revision=None, version="1.0.0", sha256="0" * 64),
        sentence_lengths={"1-8": 3},
        matrix_flops_per_s=0.4e12,
        speed=[plain, ours],
        memory=[plain, ours],
    )


def test_the_tables_are_worked_by_hand():
    """80 pairs a second are 4 times 20; 0.25 of 0.4 TFLOP/s is 62.5%; memory is in units of 10^9 bytes."""
    text = render(speed_of("cpu"))
    assert "| plain | fp32 | all | 20.0 | 1.00x | - | 50.00 |" in text
    assert "| ours | bf16 | 64 | 80.0 | 4.00x | 62.5% | 50.00 |" in text
    assert "Tokens of its 3 texts, none cut off: 1-8 100.0%." in text
    assert "| A step of ours, 800.0 ms | ms | Share |" in text  # 64 pairs at 80 a second
    assert "| matrix products | 500.00 | 62.5% |" in text
    assert "| dropout | 100.00 | 12.5% |" in text
    assert "| nothing computes: Python, launches, the next batch | 200.00 | 25.0% |" in text
    assert "| plain | 3.00 |" in text
    assert "| ours | 2.00 |" in text
    assert "tiny on pairs, recipe paper, batch 64, a processor, 2 cores. Matrix rate: 0.40 TFLOP/s in bf16." in text


def test_the_longest_hundredth_of_the_texts_is_one_share():
    """Of 200 texts 120 have up to 8 tokens, 78 up to 16, and the last two, 1%, more."""
    counts = {"1-8": 120, "9-16": 78, "33-40": 1, "337-344": 1}
    text = render(speed_of("cpu").model_copy(update={"sentence_lengths": counts}))
    assert "Tokens of its 200 texts, none cut off: 1-8 60.0%, 9-16 39.0%, more 1.0%." in text


def test_what_runs_out_of_memory_does_not_cost_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    """The plain example dies at batch 256: its other sizes, ours, and the record are there all the same."""
    one = speed_of("cpu").speed[1]

    def in_child(arguments, what):
        way, size, steps = what.split(":")
        if (way, size) == ("plain", "256"):
            raise StageError(f"measuring {what} ended with exit code -9", "See the line above")
        return one.model_copy(update={"way": way, "batch_size": int(size), "steps": int(steps)})

    def with_facts(given, name, speed, memory):
        return speed_of("cpu").model_copy(update={"memory": memory})

    monkeypatch.setattr(bench, "_in_child", in_child)
    monkeypatch.setattr(bench, "_with_facts", with_facts)
    out = tmp_path / TrainingSpeed.FILE_NAME
    bench.main(["--dataset", "pairs.csv", "--base-model", "minilm", "--out", str(out)])
    said = capsys.readouterr()
    assert "left out: measuring plain:256:3 ended with exit code -9" in said.err
    assert "| plain | 2.00 | 2.00 | 2.00 | 2.00 | not measured |" in said.out
    assert "| ours | 2.00 | 2.00 | 2.00 | 2.00 | 2.00 |" in said.out
    assert len(TrainingSpeed.load(out).memory) == 14
    markdown = tmp_path / "README.md"
    markdown.write_text("\n".join(markers_of(bench.PART)))
    bench_report.main([str(out), "--into", str(markdown)])
    assert "| plain | 2.00 | 2.00 | 2.00 | 2.00 | not measured |" in markdown.read_text()


class Operator:
    """What the profiler says of one: on a GPU, kernels are listed beside the operators that launched them."""

    is_user_annotation = False

    def __init__(self, key: str, cpu: float, device: float, device_type: DeviceType = DeviceType.CPU) -> None:
        self.key, self.self_cpu_time_total, self.self_device_time_total = key, cpu, device
        self.device_type = device_type


def test_a_step_s_parts_are_added_up_by_kind():
    """On a CPU what an operator takes itself; on a GPU its kernels, of which 4 of 60 belong to no operator."""
    operators = [
        Operator("aten::addmm", 10.0, 20.0),
        Operator("aten::mm", 5.0, 10.0),
        Operator("aten::scaled_dot_product_attention", 2.0, 8.0),
        Operator("aten::native_layer_norm", 1.0, 18.0),
        Operator("sm90_xmma_gemm_bf16", 0.0, 60.0, DeviceType.CUDA),
    ]
    matrix, attention, elementwise = "matrix products", "attention", "element by element"
    assert by_kind(operators, on_device=False) == {matrix: 15.0, attention: 2.0, elementwise: 1.0}
    assert by_kind(operators, on_device=True) == {matrix: 30.0, elementwise: 18.0, attention: 8.0, "other kernels": 4.0}
    annotation = Operator("ProfilerStep", 0.0, 500.0, DeviceType.CUDA)
    annotation.is_user_annotation = True
    assert by_kind([*operators, annotation], on_device=True)["other kernels"] == 4.0


@pytest.mark.parametrize(
    ("operator", "kind"),
    [
        ("aten::baddbmm", "matrix products"),
        ("aten::addmm_", "matrix products"),
        ("aten::linear", "matrix products"),
        ("aten::_scaled_dot_product_flash_attention_backward", "attention"),
        ("aten::native_dropout", "dropout"),
        ("aten::bernoulli_", "dropout"),
        ("aten::_fused_adamw_", "optimiser"),
        ("aten::_foreach_norm", "optimiser"),
        ("aten::embedding_dense_backward", "embeddings"),
        ("aten::_to_copy", "copies and casts"),
        ("aten::gelu", "element by element"),
        ("aten::_softmax", "element by element"),
    ],
)
def test_operators_have_a_kind(operator: str, kind: str):
    assert kind_of(operator) == kind


def test_the_gpu_is_named():
    assert "batch 64, NVIDIA H100, a processor, 2 cores." in render(speed_of("NVIDIA H100"))


def test_model_flops_by_hand(tmp_path: Path):
    """Two layers of width 32, 64 in between. A layer: 4 (32 x 32 + 32) + (32 x 64 + 64) + (64 x 32 + 32) + 2 x 64 for
    two norms = 8,544 weights; with the embeddings' norm of 64, N = 17,152. Texts of 3 and 5 tokens:
    6 x 17,152 x 8 + 12 x 2 x 32 x (9 + 25) = 823,296 + 26,112.
    """
    transformer = model_flops.transformer_of(open_encoder(write_tiny_encoder(tmp_path / "encoder")))
    assert model_flops.training_flops(transformer, [3, 5]) == 849_408


def test_the_matrix_rate_is_the_best_of_several(monkeypatch: pytest.MonkeyPatch):
    """2 x 512^3 in 1 s; 2 x 1024^3 in 2 s after a slower first time: four times as fast, and long."""
    seconds = {512: iter([1.0] * 5), 1024: iter([9.0, 2.0, 2.0, 3.0, 4.0])}
    monkeypatch.setattr(model_flops, "LONG_S", 1.5)
    monkeypatch.setattr(model_flops, "_product_seconds", lambda one, two: next(seconds[one.shape[0]]))
    assert model_flops.matrix_rate() == pytest.approx(2 * 1024**3 / 2)


def test_a_packaged_model_goes_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its folder is called `model`."""
    named = []
    monkeypatch.setattr(bench, "packaged_minilm", lambda: str(tmp_path / "model"))
    monkeypatch.setattr(bench, "_in_child", lambda *_: speed_of("cpu").speed[0])
    monkeypatch.setattr(bench, "_with_facts", lambda given, name, *_: named.append(name) or speed_of("cpu"))
    bench.main(["--dataset", "pairs.csv", "--no-memory"])
    bench.main(["--dataset", "pairs.csv", "--no-memory", "--base-model", "sentence-transformers/all-mpnet-base-v2"])
    assert named == ["all-MiniLM-L6-v2", "all-mpnet-base-v2"]


def test_the_newest_release_is_taken_by_number(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(bench, "RELEASES", tmp_path)
    with pytest.raises(StageError, match="holds no dataset"):
        newest_dataset()
    for version in ("v0.9.0", "v0.10.0", "v0.2.0"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "manifest.json").write_text("{}")
    assert newest_dataset() == str(tmp_path / "v0.10.0")


def test_the_table_is_that_of_the_file(repo: Path):
    """results/training_speed.json is of this schema, and training/README.md shows it as it is."""
    start, end = markers_of(bench.PART)
    shown = (repo / "training" / "README.md").read_text(encoding="utf-8").partition(start)[2].partition(end)[0]
    (path,) = (repo / "results").rglob(TrainingSpeed.FILE_NAME)
    assert shown.strip() == render(TrainingSpeed.load(path))
