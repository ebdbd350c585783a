"""What a run takes this machine to be able to do."""

import pytest
import torch

from training.machine import precision_in_use


@pytest.mark.parametrize(
    ("avx512", "amx", "precision"), [(False, False, "fp32"), (True, False, "bf16"), (False, True, "bf16")]
)
def test_auto_is_bf16_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch, avx512, amx, precision):
    monkeypatch.setattr("training.machine.on_cpu", lambda: True)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert precision_in_use("auto") == precision


@pytest.mark.parametrize(("native", "precision"), [(False, "fp32"), (True, "bf16")])
def test_auto_is_bf16_where_the_gpu_has_it(monkeypatch: pytest.MonkeyPatch, native: bool, precision: str):
    """A GPU that only emulates bf16 is faster in fp32."""
    monkeypatch.setattr("training.machine.on_cpu", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or native)
    assert precision_in_use("auto") == precision


@pytest.mark.parametrize("wanted", ["bf16", "fp32"])
def test_a_precision_that_is_asked_for_is_taken(wanted: str):
    assert precision_in_use(wanted) == wanted
