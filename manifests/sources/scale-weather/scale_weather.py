"""A Python step that runs before a model: three weather readings become one scaled tensor."""

import numpy as np
from mac.types import InferenceData

# Mean and spread of each reading, as they were when the model behind this step was fitted.
SCALES = {
    "temperature": (11.5, 8.25),
    "humidity": (68.0, 14.5),
    "pressure": (1013.0, 9.75),
}


def process_data(input_data: InferenceData) -> InferenceData:
    """Shapes: three columns of n numbers in, ``tensor`` of (n, 3) out."""
    scaled = [(input_data[name] - mean) / spread for name, (mean, spread) in SCALES.items()]
    return {"tensor": np.stack(scaled, axis=-1).astype(np.float32)}
