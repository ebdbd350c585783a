"""While an encoder reads, OpenBLAS has one thread; afterwards as many as before."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from blas_threads import one_blas_thread
from tests.test_token_scores import PlantedEncoder, index_of
from token_scores import SpanReader


def blas_threads():
    return {lib["num_threads"] for lib in threadpool_info() if lib["internal_api"] == "openblas"}


def do_apart(step, *arguments):
    """In a thread of its own, which has ended: threadpoolctl listens to nobody while the thread that it heard lives."""
    thread = threading.Thread(target=step, args=arguments)
    thread.start()
    thread.join()


@pytest.fixture(autouse=True)
def two_threads():
    """As on a machine with two cores, whatever this one has."""
    np.ones((2, 2)) @ np.ones((2, 2))
    before = blas_threads()
    if not before:
        pytest.skip("NumPy runs on another library here")
    do_apart(threadpool_limits, 2, "blas")
    yield
    do_apart(threadpool_limits, max(before), "blas")


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
    """A in, B in, A out, B out, both threads alive: one thread until B has gone, and then as many as before A came."""
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        first, second = one_blas_thread(), one_blas_thread()
        seen = []
        for visitor, step in (
            (one, first.__enter__),
            (other, second.__enter__),
            (one, lambda: first.__exit__(None, None, None)),
            (other, lambda: second.__exit__(None, None, None)),
        ):
            visitor.submit(step).result()
            seen.append(blas_threads())
    assert seen == [{1}, {1}, {1}, {2}]


def test_reading_by_tokens_holds_it():
    seen = []

    class Looking(PlantedEncoder):
        def encode_spans(self, texts):
            seen.append(blas_threads())
            yield from super().encode_spans(texts)

    assert len(SpanReader(Looking(), index_of([[1, 0]], [1.0])).read(["x", "y"])) == 2
    assert seen == [{1}]
    assert blas_threads() == {2}
