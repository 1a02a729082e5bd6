"""A Python step that runs after a classifier: probabilities become a label and how sure it is."""

import numpy as np
from mac.types import InferenceData

LABELS = np.array(["low", "medium", "high"])


def process_data(input_data: InferenceData) -> InferenceData:
    """Shapes: ``probabilities`` of (n, 3) in, ``label`` and ``confidence`` of (n,) out."""
    probabilities = input_data["probabilities"]
    return {
        "label": LABELS[np.argmax(probabilities, axis=1)],
        "confidence": np.max(probabilities, axis=1).astype(np.float32),
    }
