"""While an encoder reads, OpenBLAS has one thread; afterwards as many as before."""

import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from blas_threads import one_blas_thread
from tests.test_token_scores import PlantedEncoder, index_of
from token_scores import SpanReader


def blas_threads():
    return {lib["num_threads"] for lib in threadpool_info() if lib["internal_api"] == "openblas"}


@pytest.fixture(autouse=True)
def two_threads():
    """As on a machine with two cores, whatever this one has."""
    np.ones((2, 2)) @ np.ones((2, 2))
    if not blas_threads():
        pytest.skip("NumPy runs on another library here")
    with threadpool_limits(2, "blas"):
        yield


def test_one_thread_inside_and_all_again_after():
    with one_blas_thread():
        assert blas_threads() == {1}
        with one_blas_thread():
            assert blas_threads() == {1}
        assert blas_threads() == {1}
    assert blas_threads() == {2}


def test_given_back_after_an_error():
    with pytest.raises(ZeroDivisionError), one_blas_thread():
        raise ZeroDivisionError
    assert blas_threads() == {2}


def test_the_first_to_come_may_be_the_first_to_go():
    """Two visitors at once: once both have gone, the threads are back."""
    entered, leave = threading.Event(), threading.Event()

    def visitor():
        with one_blas_thread():
            entered.set()
            leave.wait(10)

    with one_blas_thread():
        other = threading.Thread(target=visitor)
        other.start()
        assert entered.wait(10)
        assert blas_threads() == {1}
    leave.set()
    other.join()
    assert blas_threads() == {2}


def test_reading_by_tokens_holds_it():
    seen = []

    class Looking(PlantedEncoder):
        def encode_spans(self, texts):
            seen.append(blas_threads())
            yield from super().encode_spans(texts)

    assert len(SpanReader(Looking(), index_of([[1, 0]], [1.0])).read(["x", "y"])) == 2
    assert seen == [{1}]
    assert blas_threads() == {2}
