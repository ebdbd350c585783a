import subprocess
from pathlib import Path

import pytest

from training.energy import EnergyMeter, gpu_watts


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("training.energy.time.monotonic", lambda: self.now)


def write_counter(folder: Path, joules: float, number: int = 0) -> None:
    counter = folder / f"intel-rapl:{number}"
    counter.mkdir(exist_ok=True)
    (counter / "energy_uj").write_text(str(int(joules * 1e6)))
    (counter / "max_energy_range_uj").write_text(str(1000 * 10**6))


def test_without_a_counter_nothing_is_claimed(tmp_path: Path):
    energy = EnergyMeter(rapl=tmp_path, gpu=lambda: None).read()
    assert energy.kwh is None
    assert energy.method.startswith("not measured")


def test_watts_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """50 W for 720 s are 36,000 J, which is 0.01 kWh; 0.5 kWh came from before."""
    clock = Clock(monkeypatch)
    meter = EnergyMeter(watts=50, rapl=tmp_path, gpu=lambda: None)
    clock.now += 720
    energy = meter.read(0.5)
    assert energy.kwh == pytest.approx(0.51)
    assert energy.method.startswith("50 W, given by hand")


def test_processor_counters_add_up_and_may_start_again(tmp_path: Path):
    """Two packages: 100 to 460 J, and 900 over the range of 1000 to 60 J: 360 + 160 = 520 J."""
    write_counter(tmp_path, 100, 0)
    write_counter(tmp_path, 900, 1)
    meter = EnergyMeter(rapl=tmp_path, gpu=lambda: None)
    write_counter(tmp_path, 460, 0)
    write_counter(tmp_path, 60, 1)
    energy = meter.read()
    assert energy.kwh == pytest.approx(520 / 3.6e6)
    assert energy.method == "processor packages by RAPL"
    # What is measured goes before what is given by hand.
    assert EnergyMeter(watts=50, rapl=tmp_path, gpu=lambda: None).read().method == "processor packages by RAPL"
    assert meter.read().kwh == pytest.approx(520 / 3.6e6)


def test_psys_is_no_package(tmp_path: Path):
    """Its 900 J hold the package's 300 J once more."""
    for number, name in enumerate(("package-0", "psys")):
        write_counter(tmp_path, 0, number)
        (tmp_path / f"intel-rapl:{number}" / "name").write_text(name + "\n")
    meter = EnergyMeter(rapl=tmp_path, gpu=lambda: None)
    write_counter(tmp_path, 300, 0)
    write_counter(tmp_path, 900, 1)
    assert meter.read().kwh == pytest.approx(300 / 3.6e6)


@pytest.mark.parametrize(
    ("visible", "chosen", "watts"), [(None, [], 300.0), ("1", ["--id=1"], 100.0), ("0,1", ["--id=0,1"], 300.0)]
)
def test_only_gpus_that_the_run_may_see_count(monkeypatch: pytest.MonkeyPatch, visible, chosen, watts):
    """Two GPUs, of 200 W and 100 W."""

    def nvidia_smi(command: list[str], **_):
        assert command[1:-2] == chosen
        shown = ["200.0", "100.0"] if watts == 300.0 else ["100.0"]
        return subprocess.CompletedProcess(command, 0, stdout="\n".join(shown) + "\n")

    monkeypatch.setattr("training.energy.subprocess.run", nvidia_smi)
    monkeypatch.setattr("training.energy.on_cpu", lambda: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpu_watts() == watts


def test_a_run_on_the_cpu_uses_no_gpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("training.energy.subprocess.run", lambda *_, **__: pytest.fail("asked for GPUs' power"))
    monkeypatch.setattr("training.energy.on_cpu", lambda: True)
    assert gpu_watts() is None


def test_gpu_power_is_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """300 W over 30 s, then 100 W over 20 s: 9,000 + 2,000 J. It is asked once at the start and then every 15 s."""
    clock, power, asked = Clock(monkeypatch), [300.0], []
    meter = EnergyMeter(rapl=tmp_path, gpu=lambda: asked.append(clock.now) or power[0])
    for _ in range(30):
        clock.now += 1
        meter.read()
    assert len(asked) == 3
    power[0] = 100.0
    clock.now += 20
    energy = meter.read()
    assert energy.kwh == pytest.approx(11_000 / 3.6e6)
    assert "nvidia-smi" in energy.method
