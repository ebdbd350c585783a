"""NumPy's OpenBLAS on one thread, for as long as an encoder runs between its products.

OpenBLAS's threads wait for their next product by spinning, on the cores that the encoder's own threads need: on two
cores finding skills took half as long again, although the products are a tenth of the work.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

from threadpoolctl import ThreadpoolController


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold OpenBLAS at one thread; where several threads of the process ask, until the last of them lets go.

    Other libraries under NumPy (MKL, Accelerate) are left as they are: an encoder may run on the same threads.
    """
    # An OpenBLAS built on OpenMP has a number for each thread that calls it: nobody waits for anybody.
    with _openblas().select(threading_layer="openmp").limit(limits=1):
        _HOLD.take()
        try:
            yield
        finally:
            _HOLD.let_go()


class _Hold:
    """Counts who holds the number of the process: the first sets it, the last gives back what the first found."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._holders = 0
        self._limit: Any = None

    def take(self) -> None:
        with self._lock:
            if not self._holders:
                libraries = _openblas().select(threading_layer=["pthreads", "disabled", "unknown"])
                _leave_to_any_thread(libraries)
                self._limit = libraries.limit(limits=1)
                _leave_to_any_thread(libraries)
            self._holders += 1

    def let_go(self) -> None:
        with self._lock:
            self._holders -= 1
            if not self._holders:
                self._limit.restore_original_limits()
                _leave_to_any_thread(_openblas())


_HOLD = _Hold()


def _leave_to_any_thread(libraries: ThreadpoolController) -> None:
    """The thread that set the number last may change it alone, and the last to let go may be another."""
    for library in libraries.lib_controllers:
        library.clear_controlling_thread(force=True)


@cache
def _openblas() -> ThreadpoolController:
    return ThreadpoolController().select(internal_api="openblas")
