"""Write the sample models of the quickstart, each with the library that its users have.

    python manifests/make_samples.py [--out FOLDER]

The data sets are small, public and ship with scikit-learn, or are drawn from a seeded generator; nothing is
downloaded. Two runs with the same libraries on the same machine write the same bytes. Where that needs care (one
thread, fixed zip times, no source paths in TorchScript), a comment says so.
"""

import argparse
import hashlib
import io
import json
import logging
import os
import pickle
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

# Before the libraries below look: one thread adds floats in one order, and Keras runs on the torch that is here anyway.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import onnx
import torch
import xgboost
from onnx import TensorProto, helper, numpy_helper
from sklearn.cluster import KMeans
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SEED = 20250601
MAX_SAMPLE_BYTES = 64 * 1024
# Old enough for every runtime that is still in use.
ONNX_OPSET = 17
ONNX_IR_VERSION = 8
# Python 3.8 is the oldest that the registry converts with, and it reads this protocol.
PICKLE_PROTOCOL = 4
HOURS_IN_A_DAY = 24

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "sources"


# --- onnx ---------------------------------------------------------------------------------------------------------


def tumour_logistic() -> bytes:
    """Logistic regression, scaling included: 30 measures of a tumour in, the probability that it is benign out."""
    data = load_breast_cancer()
    scaler = StandardScaler().fit(data.data)
    fitted = LogisticRegression(max_iter=500).fit(scaler.transform(data.data), data.target)
    # (x - mean) / scale @ weights is one product and one sum: fold the scaling into the weights.
    weights = fitted.coef_.T / scaler.scale_[:, None]
    bias = fitted.intercept_ - scaler.mean_ @ weights
    return onnx_bytes(
        "tumour-logistic",
        nodes=[
            helper.make_node("Gemm", ["measures", "weights", "bias"], ["logit"]),
            helper.make_node("Sigmoid", ["logit"], ["probability"]),
        ],
        inputs={"measures": 30},
        outputs={"probability": 1},
        constants={"weights": weights, "bias": bias},
    )


def digits_mlp() -> bytes:
    """A small multi-layer perceptron: 64 grey values of a handwritten digit in, ten probabilities out."""
    data = load_digits()
    # A loose tolerance stops early; about 95 % right on the digits it saw is plenty for a sample.
    network = MLPClassifier(hidden_layer_sizes=(16,), tol=1e-2, max_iter=500, random_state=SEED)
    network.fit(data.data / 16.0, data.target)
    (hidden, out), (hidden_bias, out_bias) = network.coefs_, network.intercepts_
    return onnx_bytes(
        "digits-mlp",
        nodes=[
            helper.make_node("Gemm", ["pixels", "hidden_weights", "hidden_bias"], ["hidden"]),
            helper.make_node("Relu", ["hidden"], ["active"]),
            helper.make_node("Gemm", ["active", "out_weights", "out_bias"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        inputs={"pixels": 64},
        outputs={"probabilities": 10},
        constants={
            "hidden_weights": hidden / 16.0,  # takes the grey values as they are, 0 to 16
            "hidden_bias": hidden_bias,
            "out_weights": out,
            "out_bias": out_bias,
        },
    )


def wine_anomaly() -> bytes:
    """Two outputs: a wine rebuilt from four principal components, and how far that is from the wine itself."""
    data = load_wine().data
    scaled = (data - data.mean(axis=0)) / data.std(axis=0)
    components = PCA(n_components=4, svd_solver="full").fit(scaled).components_
    return onnx_bytes(
        "wine-anomaly",
        nodes=[
            helper.make_node("MatMul", ["scaled_measures", "encode"], ["code"]),
            helper.make_node("MatMul", ["code", "decode"], ["rebuilt"]),
            helper.make_node("Sub", ["scaled_measures", "rebuilt"], ["difference"]),
            helper.make_node("ReduceL2", ["difference"], ["distance"], axes=[1], keepdims=1),
        ],
        inputs={"scaled_measures": 13},
        outputs={"rebuilt": 13, "distance": 1},
        constants={"encode": components.T, "decode": components},
    )


def onnx_bytes(
    name: str,
    *,
    nodes: list[onnx.NodeProto],
    inputs: dict[str, int],
    outputs: dict[str, int],
    constants: dict[str, np.ndarray],
) -> bytes:
    """A checked ONNX model; inputs and outputs are float32 tensors of (rows, the given width)."""

    def tensors(widths: dict[str, int]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(key, TensorProto.FLOAT, ["rows", width]) for key, width in widths.items()]

    # Four decimals: small differences between two machines' arithmetic do not reach the file.
    rounded = {key: np.round(value, 4).astype(np.float32) for key, value in constants.items()}
    graph = helper.make_graph(
        nodes,
        name,
        tensors(inputs),
        tensors(outputs),
        [numpy_helper.from_array(value, key) for key, value in rounded.items()],
    )
    model = helper.make_model(
        graph,
        producer_name="bulkload-samples",
        opset_imports=[helper.make_opsetid("", ONNX_OPSET)],
        ir_version=ONNX_IR_VERSION,
    )
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


# --- scikit-learn and xgboost -------------------------------------------------------------------------------------


def progression_ridge() -> bytes:
    """Linear regression: ten measures of a patient in, the disease's progression within a year out."""
    data = load_diabetes()
    return pickle.dumps(Ridge(alpha=0.5).fit(data.data, data.target), protocol=PICKLE_PROTOCOL)


def wine_logreg() -> bytes:
    """A pipeline of two steps: 13 measures of a wine in, one of three growers out."""
    data = load_wine()
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    return pickle.dumps(pipeline.fit(data.data, data.target), protocol=PICKLE_PROTOCOL)


def iris_kmeans() -> bytes:
    """Clusters: four measures of a flower in, the number of its cluster out."""
    clusters = KMeans(n_clusters=3, n_init=4, random_state=SEED).fit(load_iris().data)
    return pickle.dumps(clusters, protocol=PICKLE_PROTOCOL)


def tumour_booster() -> bytes:
    """Boosted trees, two classes: 30 measures of a tumour in, the probability that it is benign out."""
    data = load_breast_cancer()
    return booster_bytes(data.data, data.target, objective="binary:logistic")


def progression_booster() -> bytes:
    """Boosted trees, regression: ten measures of a patient in, the disease's progression out."""
    data = load_diabetes()
    return booster_bytes(data.data, data.target, objective="reg:squarederror")


def booster_bytes(features: np.ndarray, target: np.ndarray, *, objective: str) -> bytes:
    """A pickled ``xgboost.Booster`` of eight shallow trees."""
    settings = {"objective": objective, "max_depth": 3, "eta": 0.5, "seed": SEED, "nthread": 1}
    booster = xgboost.train(settings, xgboost.DMatrix(features, target), num_boost_round=8)
    return pickle.dumps(booster, protocol=PICKLE_PROTOCOL)


# --- pytorch ------------------------------------------------------------------------------------------------------


class LinearForecast(torch.nn.Module):
    """The next hour is a weighted sum of the last 24."""

    def __init__(self) -> None:
        super().__init__()
        self.out = torch.nn.Linear(HOURS_IN_A_DAY, 1)

    def forward(self, load: torch.Tensor) -> torch.Tensor:
        next_hour: torch.Tensor = self.out(load)
        return next_hour


class HiddenForecast(torch.nn.Module):
    """The same question with a hidden layer in between."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = torch.nn.Linear(HOURS_IN_A_DAY, 12)
        self.out = torch.nn.Linear(12, 1)

    def forward(self, load: torch.Tensor) -> torch.Tensor:
        next_hour: torch.Tensor = self.out(torch.tanh(self.hidden(load)))
        return next_hour


class SensorFusion(torch.nn.Module):
    """Two inputs and two outputs: motion and sound in, four activities and an alarm level out."""

    def __init__(self) -> None:
        super().__init__()
        self.motion = torch.nn.Linear(6, 8)
        self.sound = torch.nn.Linear(3, 8)
        self.activity = torch.nn.Linear(8, 4)
        self.alarm = torch.nn.Linear(8, 1)

    def forward(self, motion: torch.Tensor, sound: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        both = torch.relu(self.motion(motion) + self.sound(sound))
        return torch.softmax(self.activity(both), dim=1), torch.sigmoid(self.alarm(both))


def energy_forecast_1() -> bytes:
    """First version: linear; the load of the last 24 hours in, the next hour's out."""
    return forecast_bytes(LinearForecast)


def energy_forecast_2() -> bytes:
    """Second version: with a hidden layer, the same schemas."""
    return forecast_bytes(HiddenForecast)


def forecast_bytes(kind: type[torch.nn.Module]) -> bytes:
    """Fit a forecast to 40 days of made-up load: a daily wave and some noise."""
    torch.manual_seed(SEED)
    hours = torch.arange(40 * HOURS_IN_A_DAY, dtype=torch.float32)
    load = 1.0 + 0.5 * torch.sin(hours * (2 * torch.pi / HOURS_IN_A_DAY)) + 0.05 * torch.randn(hours.shape)
    windows = load.unfold(0, HOURS_IN_A_DAY + 1, 1)
    past, following = windows[:, :-1], windows[:, -1:]
    model = kind()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(200):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(past), following).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return torchscript_bytes(model, past[:2].contiguous())


def sensor_fusion() -> bytes:
    """Weights as they were drawn: here it is the shape that teaches."""
    torch.manual_seed(SEED)
    return torchscript_bytes(SensorFusion(), torch.zeros(2, 6), torch.zeros(2, 3))


def torchscript_bytes(model: torch.nn.Module, *example: torch.Tensor) -> bytes:
    """A traced model as ``torch.jit.save`` writes it, less its debug records.

    Those records hold the paths of the sources on the machine that traced the model: no business of anybody else's,
    and they would make the bytes differ from checkout to checkout. Loading does not need them.
    """
    saved, stripped = io.BytesIO(), io.BytesIO()
    torch.jit.save(torch.jit.trace(model.eval(), example), saved)  # type: ignore[no-untyped-call]
    saved.seek(0)
    reader, writer = torch._C.PyTorchFileReader(saved), torch._C.PyTorchFileWriter(stripped)  # noqa: SLF001
    for record in reader.get_all_records():
        written_by_the_writer = record in {"version", "byteorder", ".data/serialization_id"}
        if not (written_by_the_writer or record.endswith(".debug_pkl") or record.startswith("traced_inputs")):
            content = reader.get_record(record)
            writer.write_record(record, content, len(content))
    writer.write_end_of_file()
    return stripped.getvalue()


# --- keras --------------------------------------------------------------------------------------------------------


def radar_dense() -> bytes:
    """A sequential model: ten radar echoes in, three kinds of target out. The weights are as they were drawn."""
    keras.utils.set_random_seed(SEED)
    # Every layer is named: Keras numbers nameless ones by how many came before.
    layers = [
        keras.Input((10,), name="echoes"),
        keras.layers.Dense(8, activation="relu", name="hidden"),
        keras.layers.Dense(3, activation="softmax", name="kinds"),
    ]
    with tempfile.TemporaryDirectory() as scratch:  # Keras writes to named files only
        file = Path(scratch) / "radar-dense.h5"
        keras.Sequential(layers, name="radar-dense").save(file)
        return file.read_bytes()


# --- archives: python steps and custom models ---------------------------------------------------------------------


def scale_weather() -> bytes:
    """A step before a model; the module lies in a folder, as a zipped folder has it."""
    return zip_bytes("scale-weather", folder="scale-weather/")


def top_class() -> bytes:
    """A step after a classifier; the module lies at the top of the archive, with a requirements.txt."""
    return zip_bytes("top-class")


def nearest_centroid() -> bytes:
    """A custom model in a folder; its artifact is computed here: the average flower of each species."""
    data = load_iris()
    points = [data.data[data.target == species].mean(axis=0).round(3).tolist() for species in range(3)]
    artifact = json.dumps({"labels": data.target_names.tolist(), "points": points}, indent=2) + "\n"
    return zip_bytes(
        "nearest-centroid", folder="nearest-centroid/", more={"artifacts/centroids.json": artifact.encode()}
    )


def keyword_sentiment() -> bytes:
    """A custom model at the top of its archive: text in, text and a number out."""
    return zip_bytes("keyword-sentiment")


def broken_custom_no_inference() -> bytes:
    """A sound zip that no registry can make a model of: no class in it is an Inference."""
    return zip_bytes("broken-custom-no-inference")


def zip_bytes(source: str, *, folder: str = "", more: dict[str, bytes] | None = None) -> bytes:
    """The files below ``sources/<source>`` and in ``more``, stored, with one fixed time: the same bytes anywhere."""
    root = SOURCES / source
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    files = {name: content for name, content in files.items() if "__pycache__" not in name} | (more or {})
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as writer:
        for name, content in sorted(files.items()):
            member = zipfile.ZipInfo(folder + name, date_time=(2025, 1, 1, 0, 0, 0))
            member.create_system = 3  # Unix, whatever this runs on: the next line is then a file mode
            member.external_attr = 0o100644 << 16
            writer.writestr(member, content)
    return archive.getvalue()


# --- all of them --------------------------------------------------------------------------------------------------


class Sample(NamedTuple):
    """One file to write."""

    file: str
    framework: str
    content: Callable[[], bytes]


SAMPLES = (
    Sample("tumour-logistic.onnx", "onnx", tumour_logistic),
    Sample("digits-mlp.onnx", "onnx", digits_mlp),
    Sample("wine-anomaly.onnx", "onnx", wine_anomaly),
    Sample("progression-ridge.pkl", "sklearn", progression_ridge),
    Sample("wine-logreg.pkl", "sklearn", wine_logreg),
    Sample("iris-kmeans.pkl", "sklearn", iris_kmeans),
    Sample("tumour-booster.pkl", "xgboost", tumour_booster),
    Sample("progression-booster.pkl", "xgboost", progression_booster),
    Sample("energy-forecast-1.pt", "pytorch", energy_forecast_1),
    Sample("energy-forecast-2.pt", "pytorch", energy_forecast_2),
    Sample("sensor-fusion.pt", "pytorch", sensor_fusion),
    Sample("radar-dense.h5", "keras", radar_dense),
    Sample("scale-weather.zip", "python", scale_weather),
    Sample("top-class.zip", "python", top_class),
    Sample("nearest-centroid.zip", "custom", nearest_centroid),
    Sample("keyword-sentiment.zip", "custom", keyword_sentiment),
    Sample("broken-custom-no-inference.zip", "custom", broken_custom_no_inference),
)


def main() -> None:
    """Write every sample and print its framework, size and digest."""
    parser = argparse.ArgumentParser(description="Write the sample models of the quickstart.")
    parser.add_argument("--out", type=Path, default=HERE / "models", help="folder to write to (default: %(default)s)")
    out: Path = parser.parse_args().out

    # Known and meant: HDF5 and TorchScript are yesterday's formats to their makers, and what the registry takes.
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch")
    logging.getLogger("absl").setLevel(logging.ERROR)
    torch.set_num_threads(1)

    out.mkdir(parents=True, exist_ok=True)
    for sample in SAMPLES:
        content = sample.content()
        if len(content) >= MAX_SAMPLE_BYTES:
            raise SystemExit(f"{sample.file}: {len(content)} bytes; a sample stays under {MAX_SAMPLE_BYTES}")
        (out / sample.file).write_bytes(content)
        print(f"{sample.framework:8} {len(content):6}  {hashlib.sha256(content).hexdigest()}  {sample.file}")


if __name__ == "__main__":
    main()
