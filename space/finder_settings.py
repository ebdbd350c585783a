"""skill_finder.json of a model -> what was calibrated for it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from no_skill import Gate
from skill_index import SkillFinderError

DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class Settings:
    """What was calibrated for one model; see calibrate.py. `gate` is None where none was.

    `threshold` is the least score; `agreement` how much shared words count, see passage_scores.Rule. `names` has both
    for skills that are encoded by their names, where the label index was made of more; None where it was not.
    """

    threshold: float = DEFAULT_THRESHOLD
    calibrated_on: str = "nothing: a cautious default"
    gate: Gate | None = None
    agreement: float = 0.0
    names: tuple[float, float] | None = None

    def for_names(self) -> Settings:
        """Settings for a list of skills beside the model's own index."""
        if self.names is None:
            return self
        return replace(self, threshold=self.names[0], agreement=self.names[1])

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read skill_finder.json; its absence gives the defaults.

        Raises:
            SkillFinderError: the file is not of format 1 or 2, or holds other values than settings.
        """
        if not path.is_file():
            return cls()
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if values["format"] not in (1, 2):
                raise SkillFinderError(f"{path} has format {values['format']!r}; this code reads 1 and 2")
            gate, names = values.get("gate"), values.get("names")
            return cls(
                threshold=float(values["threshold"]),
                calibrated_on=str(values["calibrated_on"]),
                gate=Gate(np.array(gate["weights"], np.float32), float(gate["bias"]), float(gate["least"]))
                if gate
                else None,
                agreement=float(values.get("agreement", 0.0)),
                names=(float(names["threshold"]), float(names["agreement"])) if names else None,
            )
        except SkillFinderError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise SkillFinderError(f"{path} is not a settings file of the skill finder ({error!r})") from None
