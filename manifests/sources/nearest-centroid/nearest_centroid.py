"""A custom model: the flower whose average sepal and petal lie nearest."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mac.config.inference import CustomInferenceConfig
from mac.inference import Inference
from mac.inference.creation import InferenceBuilder
from mac.types import InferenceData


class Centroids(NamedTuple):
    """What the artifact holds: one label and one point for each class."""

    labels: np.ndarray
    points: np.ndarray


class NearestCentroid(Inference):
    """Answers with the label of the nearest point, and the distance to it."""

    @property
    def expected_model_types(self) -> set[Any]:
        return {Centroids}

    @Inference.model.setter
    def model(self, model: Centroids) -> None:
        self._raise_error_if_model_is_wrong_type(model)
        self._model = model

    def _predict(self, input_data: InferenceData) -> InferenceData:
        away = input_data["measures"][:, None, :] - self.model.points[None, :, :]
        distances = np.sqrt((away**2).sum(axis=2))
        return {
            "species": self.model.labels[distances.argmin(axis=1)],
            "distance": distances.min(axis=1),
        }


class NearestCentroidBuilder(InferenceBuilder):
    """Reads the artifact and hands out an inference that holds it."""

    @property
    def inference(self) -> NearestCentroid:
        return NearestCentroid()

    def create(self, config: CustomInferenceConfig) -> NearestCentroid:
        artifact = json.loads((Path(config.model_path) / "artifacts" / "centroids.json").read_text())
        inference = self.inference
        inference.model = Centroids(np.array(artifact["labels"]), np.array(artifact["points"]))
        return inference
