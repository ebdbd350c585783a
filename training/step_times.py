"""A few training steps, watched by PyTorch's profiler -> seconds of a step by kind of operation."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from transformers import TrainerCallback

from training.machine import on_cpu

WARM_UP_STEPS = 5  # the first steps choose kernels and allocate
# The first pattern that an operator's name holds says its kind.
KINDS = (
    ("attention", r"attention"),
    ("matrix products", r"mm\b|mm_|matmul|linear|mkldnn"),
    ("dropout", r"dropout|bernoulli"),
    ("optimiser", r"adam|foreach|sgd|adafactor"),
    ("embeddings", r"embedding|index"),
    ("copies and casts", r"copy|_to|cat\b|fill|zero|clone|contiguous|memcpy|memset"),
)
ELEMENTWISE = "element by element"  # norms, activations, softmax, sums, the loss
OTHER = "other kernels"  # of no operator that the profiler names


class StepTimes(TrainerCallback):  # type: ignore[misc]
    """Profiles `steps` training steps after the warm-up, operator by operator.

    On a GPU what counts is the time of an operator's kernels, on a CPU its own time without those that it calls.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.seen = 0
        self.seconds: dict[str, float] = {}  # of one step, by kind
        self._profiler: Any = None

    def on_step_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Start to watch after the warm-up."""
        if self.seen == WARM_UP_STEPS:
            activities = [ProfilerActivity.CPU] if on_cpu() else [ProfilerActivity.CPU, ProfilerActivity.CUDA]
            self._profiler = profile(activities=activities, acc_events=True)
            self._profiler.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Stop after the last step that is wanted, and add up."""
        self.seen += 1
        if self._profiler is not None and self.seen == WARM_UP_STEPS + self.steps:
            if not on_cpu():
                torch.cuda.synchronize()
            self._profiler.stop()
            totals = by_kind(self._profiler.key_averages(), on_device=not on_cpu())
            self.seconds = {kind: microseconds / 1e6 / self.steps for kind, microseconds in totals.items()}
            self._profiler = None


def by_kind(operators: Any, on_device: bool) -> dict[str, float]:
    """Microseconds of the profiler's operators by kind, largest first.

    The profiler lists kernels beside the operators that launched them: what the kernels took more than the operators
    account for is of `OTHER`.
    """
    totals: dict[str, float] = defaultdict(float)
    kernels = 0.0
    for one in operators:
        if one.device_type == DeviceType.CPU:
            totals[kind_of(one.key)] += one.self_device_time_total if on_device else one.self_cpu_time_total
        elif not one.is_user_annotation:
            kernels += one.self_device_time_total
    if on_device:
        totals[OTHER] = max(kernels - sum(totals.values()), 0.0)
    ordered = sorted(totals.items(), key=lambda one: -one[1])
    return {kind: value for kind, value in ordered if value > 0}


def kind_of(operator: str) -> str:
    """The kind of an operator, as `aten::addmm` or `aten::_fused_adamw_`."""
    name = operator.lower()
    return next((kind for kind, pattern in KINDS if re.search(pattern, name)), ELEMENTWISE)
