"""A function -> the most memory that a fresh process holds while it runs it."""

from __future__ import annotations

import multiprocessing
import resource
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any


def peak_memory_bytes(read: Callable[..., Any], *inputs: Any) -> int:
    """Most memory that a fresh process holds while it runs `read(*inputs)`."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_peak_of, read, inputs).result()


def _peak_of(read: Callable[..., Any], inputs: tuple[Any, ...]) -> int:
    read(*inputs)
    return own_peak_bytes()


def own_peak_bytes() -> int:
    """Most memory that this program has held: Linux's ru_maxrss counts what its parent held before it as well."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024
