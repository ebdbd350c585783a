"""A model folder with an OpenVINO export -> an encoder on OpenVINO's runtime and tokenizers alone."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from dataset_builder.contract import StageError
from eval.onnx_model import OnnxModel

DEFAULT_FILE = "openvino/openvino_model.xml"


class OpenvinoModel(OnnxModel):
    """An OpenVINO export (a .xml file with its .bin), read as `OnnxModel` reads an ONNX one.

    Raises:
        StageError: as for `OnnxModel`, or openvino is missing.
    """

    default_file = DEFAULT_FILE

    def _open(self) -> tuple[list[str], list[str]]:
        try:
            openvino = import_module("openvino")
        except ImportError:
            raise StageError("openvino is not installed", "pip install openvino") from None
        try:
            # Without the hint some processors compute in bfloat16, and scores would depend on the machine.
            self._compiled = openvino.Core().compile_model(
                str(self.weights), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
            )
        except RuntimeError as error:
            raise StageError(f"{self.weights} cannot be opened ({error})", "Is the file whole?") from error
        names = [port.get_any_name() for port in self._compiled.inputs]
        return names, [port.get_any_name() for port in self._compiled.outputs]

    def _run(self, feeds: dict[str, Any]) -> Any:
        return self._compiled(feeds)[self._output]
