"""This machine: the cores that a run may use, and what its record says of the hardware."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch

from dataset_builder.contract import StageError
from training.run_record import Hardware


def on_cpu() -> bool:
    """Whether to train on the CPU: there is no GPU, or accelerate was told so (`use_cpu: true`)."""
    return not torch.cuda.is_available() or os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true")


def precision_in_use(wanted: str) -> str:
    """`bf16` for autocast or `fp32`; "auto" takes bf16 where the device computes it natively."""
    if wanted != "auto":
        return wanted
    if on_cpu():
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    else:
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16" if native else "fp32"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether something failed for want of memory, as Python, torch and CUDA's libraries say it."""
    said = any(words in str(error) for words in ("allocate memory", "out of memory", "ALLOC_FAILED"))
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (isinstance(error, RuntimeError) and said)


def use_threads(threads: int | None) -> None:
    """Share the usable cores among this machine's processes; accelerate's own guess is one thread on some machines."""
    if threads is not None and threads < 1:
        raise StageError(f"--threads must be at least 1, got {threads}")
    processes = max(int(os.environ.get("LOCAL_WORLD_SIZE", "1")), 1)
    torch.set_num_threads(threads or max(usable_cores() // processes, 1))


def usable_cores() -> int:
    """CPU cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def hardware(peak_memory_bytes: int) -> Hardware:
    """What a record says of the machine, with the most memory that the run used."""
    gpu = torch.cuda.get_device_name() if not on_cpu() else None
    return Hardware(
        processes=int(os.environ.get("WORLD_SIZE", "1")),
        device=gpu or processor_name(),
        cpu_cores=usable_cores(),
        peak_memory_bytes=peak_memory_bytes,
    )


def processor_name() -> str:
    """What this machine calls its processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.machine()
