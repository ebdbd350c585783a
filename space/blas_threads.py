"""NumPy's OpenBLAS on one thread, for as long as an encoder runs between its products.

OpenBLAS's threads wait for their next product by spinning, on the cores that the encoder's own threads need: on two
cores finding skills took half as long again, although the products are a tenth of the work.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache

from threadpoolctl import ThreadpoolController


def one_blas_thread() -> AbstractContextManager[object]:
    """Hold OpenBLAS at one thread; where several threads of the process ask, until the first of them lets go.

    Other libraries under NumPy (MKL, Accelerate) are left as they are: an encoder may run on the same threads.
    """
    limit: AbstractContextManager[object] = _openblas().limit(limits=1)
    return limit


@cache
def _openblas() -> ThreadpoolController:
    return ThreadpoolController().select(internal_api="openblas")
