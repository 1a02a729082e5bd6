"""A custom model: a text's mood, from a list of words and their weights."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from mac.config.inference import CustomInferenceConfig
from mac.inference import Inference
from mac.inference.creation import InferenceBuilder
from mac.types import InferenceData


class KeywordSentiment(Inference):
    """Adds up the weights of the words that it knows; below zero is a bad mood."""

    @property
    def expected_model_types(self) -> set[Any]:
        return {dict}

    @Inference.model.setter
    def model(self, model: dict[str, float]) -> None:
        self._raise_error_if_model_is_wrong_type(model)
        self._model = model

    def _predict(self, input_data: InferenceData) -> InferenceData:
        scores = np.array([self._score(text) for text in input_data["text"].tolist()])
        return {"sentiment": np.where(scores < 0, "negative", "positive"), "score": scores}

    def _score(self, text: str) -> float:
        return float(sum(self.model.get(word, 0.0) for word in re.findall(r"[a-z]+", text.lower())))


class KeywordSentimentBuilder(InferenceBuilder):
    """Reads the word list and hands out an inference that holds it."""

    @property
    def inference(self) -> KeywordSentiment:
        return KeywordSentiment()

    def create(self, config: CustomInferenceConfig) -> KeywordSentiment:
        inference = self.inference
        inference.model = json.loads((Path(config.model_path) / "artifacts" / "words.json").read_text())
        return inference
