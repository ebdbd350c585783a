"""The collector is paused while plans are made, and never longer."""

import gc

import pytest

from dataset_builder.collector import collector_paused


@pytest.mark.parametrize("on", [True, False])
def test_the_collector_is_as_it_was_after_a_plan_and_after_an_error(on):
    before = gc.isenabled()
    try:
        gc.enable() if on else gc.disable()
        with collector_paused():
            assert not gc.isenabled()
        assert gc.isenabled() == on
        with pytest.raises(KeyError), collector_paused():
            raise KeyError
        assert gc.isenabled() == on
    finally:
        gc.enable() if before else gc.disable()
