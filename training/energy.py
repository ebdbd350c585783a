"""A run -> the electric energy it used, where the machine has a counter, and how that was found out."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from training.machine import on_cpu

JOULES_PER_KWH = 3.6e6
GPU_EVERY_S = 15.0  # asking for the GPUs' power takes a moment
RAPL = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Energy:
    """`kwh` is None where nothing could be measured; `method` says how it was found out, or why not."""

    kwh: float | None
    method: str


class EnergyMeter:
    """Adds up energy between calls of `read`; call it at least once a minute where power has to be sampled.

    Args:
        watts: a power given by hand, for machines without a counter; energy is then watts times time.
        rapl: folder of the processor's counters.
        gpu: reads the GPUs' power in watts; None where there is none.
    """

    def __init__(
        self, watts: float | None = None, rapl: Path = RAPL, gpu: Callable[[], float | None] | None = None
    ) -> None:
        self._watts = watts
        self._counters = [file for file in sorted(rapl.glob("intel-rapl:?/energy_uj")) if _counts_a_package(file)]
        self._gpu = gpu or gpu_watts
        self._gpu_power = self._gpu()
        self._has_gpu = self._gpu_power is not None
        self._gpu_asked_at = time.monotonic()
        self._joules = 0.0
        self._last_time = time.monotonic()
        self._last_counts = [_number_in(file) for file in self._counters]

    def read(self, before_kwh: float = 0.0) -> Energy:
        """Energy since the meter was made, plus `before_kwh` from before an interruption."""
        now = time.monotonic()
        seconds, self._last_time = now - self._last_time, now
        parts = []
        if self._counters:
            self._joules += self._processor_joules()
            parts.append("processor packages by RAPL")
        if self._has_gpu:
            if now - self._gpu_asked_at >= GPU_EVERY_S:
                self._gpu_power, self._gpu_asked_at = self._gpu(), now
            self._joules += (self._gpu_power or 0.0) * seconds
            parts.append("GPUs by nvidia-smi's power, sampled")
        if not parts and self._watts is not None:
            self._joules += self._watts * seconds
            parts.append(f"{self._watts:g} W, given by hand, times the run's time")
        if not parts:
            return Energy(None, "not measured: this machine shows no energy counter; give --watts for an estimate")
        return Energy(before_kwh + self._joules / JOULES_PER_KWH, " + ".join(parts))

    def _processor_joules(self) -> float:
        total = 0.0
        for place, file in enumerate(self._counters):
            before, now = self._last_counts[place], _number_in(file)
            if before is None or now is None:
                continue
            if now < before:  # the counter starts again at its range
                now += _number_in(file.with_name("max_energy_range_uj")) or 0
            total += max(now - before, 0) / 1e6
            self._last_counts[place] = _number_in(file)
        return total


def gpu_watts() -> float | None:
    """Power of the GPUs that this run may see together, in watts, as nvidia-smi tells; None where there is none."""
    if on_cpu():
        return None
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")  # nvidia-smi itself does not look at it
    chosen = [f"--id={visible}"] if visible else []
    command = ["nvidia-smi", *chosen, "--query-gpu=power.draw", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return sum(float(line) for line in done.stdout.split())
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def _counts_a_package(file: Path) -> bool:
    """Whether a counter can be read and is not `psys`, which counts the packages once more with what is around them."""
    name = file.with_name("name")
    return _number_in(file) is not None and not (name.is_file() and name.read_text().strip() == "psys")


def _number_in(file: Path) -> int | None:
    try:
        return int(file.read_text().strip())
    except (OSError, ValueError):
        return None
