"""Broken on purpose: it can score, but no class here is a kind of ``mac.inference.Inference``.

The registry's packager looks for exactly one such class, finds none, and ends this version in ``error``.
"""

import numpy as np
from mac.types import InferenceData


class Scorer:
    """Looks like a model, and is none to the packager."""

    def predict(self, input_data: InferenceData) -> InferenceData:
        return {"score": np.asarray(input_data["amount"], dtype=np.float64) * 0.5}
