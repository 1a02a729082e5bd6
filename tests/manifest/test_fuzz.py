"""Whatever a manifest holds, checking it ends soon and yields entries and problems, never a traceback."""

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkload.core.model.records import Entry, Problem
from bulkload.manifest import check
from bulkload.manifest.converting import convert
from bulkload.manifest.json_text import NotJson, parse_json, parse_line
from bulkload.manifest.rows import FIELDS
from tests.manifest.conftest import as_csv, as_toml

SEVERAL = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
FEWER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
TEXT_FORMATS = (".csv", ".jsonl", ".json", ".yaml", ".toml")


def judge(path: Path) -> None:
    """What every manifest's check keeps."""
    found = list(check(str(path), overrides={}, workspace="w", workspace_needed=True))
    assert found
    for one in found:
        if isinstance(one, Problem):
            assert str(one).isprintable()
            assert one.what
            assert one.remedy
            assert len(str(one)) < 3_000
        else:
            # An entry can be staged, sent and kept: it survives JSON and UTF-8 whole.
            assert msgspec.json.decode(msgspec.json.encode(one), type=Entry) == one


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ["a", "model.onnx", "model.pt", "custom", "vllm", "onnx", "x.arrow", "list<int64>[2]", "AAAA", "7"]
    ),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(st.text(max_size=5), st.sampled_from(["name", "type", "qaic", "config"])), inner, max_size=3
        ),
    ),
    max_leaves=8,
)
rows = st.dictionaries(st.one_of(st.sampled_from(FIELDS), st.text(max_size=5)), values, max_size=8)


texts = st.sampled_from([
    '"a"', '"b"', '"a:"', r'"\u0061"', r'"a\u003a"', r'"\ud800"', '"a\tb"', '"\x7f\u2028"', "1", "-0", "01", "1.",
    "1e400", "0.1e-400", "1" * 5_000, str(2**64), "NaN", "-Infinity", "null", "[1, {}]", '{"a": 1}',
    '{"a": 1, "a": 2}', "",
])  # fmt: skip


@given(st.lists(st.tuples(texts, texts), max_size=3), st.sampled_from([":", " : ", "\f:", "::"]))
def test_the_quick_way_to_read_a_line_is_as_strict_as_the_other(pairs: list[tuple[str, str]], colon: str) -> None:
    text = "{" + ", ".join(f"{key}{colon}{value}" for key, value in pairs) + "}"
    try:
        expected = repr(parse_json(text))
    except NotJson as error:
        with pytest.raises(NotJson, match=f"^{re.escape(str(error))}$"):
            parse_line(text.encode())
    else:
        # Their texts: a number that is none equals nothing, and 1 equals 1.0.
        assert repr(parse_line(text.encode())) == expected


@pytest.mark.parametrize("extension", [".csv", ".jsonl", ".json", ".yaml", ".toml", ".parquet", ".arrow"])
@SEVERAL
@given(data=st.binary(max_size=300))
def test_any_bytes(extension: str, folder: Path, data: bytes) -> None:
    path = folder / f"fuzz{extension}"
    path.write_bytes(data)
    judge(path)


@pytest.mark.parametrize("extension", TEXT_FORMATS)
@SEVERAL
@given(text=st.text(alphabet="{}[]\",:;=-&*!|>#%@`'\\ \n\r\tabnamepath<01.eE~\x00é\ufeff", max_size=200))
def test_any_punctuation(extension: str, folder: Path, text: str) -> None:
    path = folder / f"fuzz{extension}"
    path.write_text(text, encoding="utf-8", newline="")
    judge(path)


@pytest.mark.parametrize("extension", [".jsonl", ".json", ".yaml"])
@SEVERAL
@given(items=st.lists(rows, max_size=3))
def test_any_values_of_any_fields(extension: str, folder: Path, items: list[dict[str, Any]]) -> None:
    path = folder / f"fuzz{extension}"
    if extension == ".jsonl":
        path.write_text("".join(json.dumps(item) + "\n" for item in items))
    elif extension == ".json":
        path.write_text(json.dumps({"models": items}))
    else:
        path.write_text(yaml.safe_dump(items))
    judge(path)


@pytest.mark.parametrize("extension", [".csv", ".jsonl", ".json", ".yaml", ".toml", ".parquet", ".arrow"])
@FEWER
@given(seed=st.integers(min_value=0, max_value=2**32))
def test_a_right_manifest_with_a_few_wrong_bytes(
    extension: str, folder: Path, write: Callable[..., Path], seed: int
) -> None:
    chance = random.Random(seed)
    schema = {"x": "struct<a: list<int64>>"}
    items = [
        {"name": "a", "path": "model.onnx", "version": "1", "labels": {"team": "vision"}},
        {"name": "b", "path": "model.zip", "framework": "custom", "input_schema": schema, "output_schema": schema},
    ]
    path = write(extension, items)
    data = bytearray(path.read_bytes())
    for _ in range(chance.randint(1, 4)):
        position = chance.randrange(len(data))
        match chance.randrange(3):
            case 0:
                data[position] = chance.randrange(256)
            case 1:
                del data[position : position + chance.randint(1, 9)]
            case _:
                data[position:position] = data[position : position + chance.randint(1, 9)]
    path.write_bytes(bytes(data))
    judge(path)


# What text may hold, and what is easily taken for something else.
texts = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=8),
    st.sampled_from([
        "1e-3", "1.5e3", "-2E5", "007", "0x1F", "1_000", "12:30", "no", "on", "null", "~", "true", "<<", "=",
        "2024-05-01", "{", "[1]",
        '{"a": 1}', "- a", "a: b", "# a", "&a", "*a", "!a", "%", "'", '"', " ", "\n", "\x85", "x.arrow",
    ]),
)  # fmt: skip
numbers = st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), st.booleans())
configs = st.dictionaries(
    texts,
    st.recursive(
        st.one_of(texts, numbers),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
        max_leaves=5,
    ),
    max_size=4,
)


@pytest.mark.parametrize("extension", [".csv", ".jsonl", ".yaml", ".toml", ".parquet", ".arrow"])
@FEWER
@given(config=configs, labels=st.dictionaries(texts, texts, max_size=3), version=texts)
def test_any_values_are_the_same_in_every_format(
    extension: str, folder: Path, config: dict[str, Any], labels: dict[str, str], version: str
) -> None:
    """Through ``manifest convert``, so that writing and reading are each other's inverse."""
    row: dict[str, Any] = {"name": "a", "path": "model.zip", "framework": "custom"}
    row |= {"version": version, "labels": labels}
    row |= {"framework_config": {"framework": "custom", "config": config}}
    row |= {"input_schema": {"1e-3": "int64"}, "output_schema": [{"name": "no", "type": "int64"}]}
    source, target = folder / "source.json", folder / f"target{extension}"
    source.write_text(json.dumps([row]))
    with target.open("wb") as stream:
        convert(str(source), extension, stream, None)
    first, second = (
        list(check(str(path), overrides={}, workspace=None, workspace_needed=False)) for path in (source, target)
    )
    if isinstance(first[0], Entry):
        (entry,) = second
        assert isinstance(entry, Entry)
        assert msgspec.structs.replace(entry, line=0) == msgspec.structs.replace(first[0], line=0)
    else:
        assert any(isinstance(problem, Problem) for problem in second)


@FEWER
@given(row=st.dictionaries(st.sampled_from(FIELDS), st.text(max_size=20), max_size=16))
def test_any_text_in_any_cell(folder: Path, write: Callable[..., Path], row: dict[str, str]) -> None:
    """Text that Parquet and CSV can hold, in fields of all sorts."""
    row = {name: text.encode("utf-8", "replace").decode() for name, text in row.items()} or {"name": "a"}
    for extension in (".csv", ".parquet"):
        judge(write(extension, [row]))


# What held when others tried: whole, and in the plain suite a small part of it.


HOSTILE_WORDS = (
    b"{", b"[", b'"', b"'", b"\\u0000", b"&a", b"*a", b"<<: ", b"!!x ", b"---\n", b"\xff\xfe", b"1e999", b"\0", b"~",
    b"../../etc/passwd", b"/dev/zero", b"$(touch x)", b"{{7*7}}", b"null", b"\r", b"[[", b"\xe2\x80\xae",
)  # fmt: skip


def mutated(seed: int) -> tuple[str, bytes]:
    """A right manifest of some format with some bytes changed, taken away, doubled, or put in."""
    chance = random.Random(seed)
    extension = chance.choice([".csv", ".jsonl", ".json", ".yaml", ".toml"])
    rows: list[dict[str, Any]] = [
        {"name": "a", "path": "model.onnx", "version": "1", "labels": {"team": "vision", "n": 3}},
        {"name": "b", "path": "model.zip", "framework": "custom", "input_schema": {"x": "struct<a: list<int64>>"},
         "output_schema": [{"name": "y", "type": "float32[3]"}], "framework_config": {"n": 0.5, "s": "x"}},
    ]  # fmt: skip
    data = bytearray(as_bytes(extension, rows))
    for _ in range(chance.randint(1, 6)):
        position = chance.randrange(len(data) + 1)
        match chance.randrange(4):
            case 0:
                data[position : position + 1] = bytes([chance.randrange(256)])
            case 1:
                del data[position : position + chance.randint(1, 30)]
            case 2:
                data[position:position] = data[position : position + chance.randint(1, 60)]
            case _:
                data[position:position] = chance.choice(HOSTILE_WORDS)
    return extension, bytes(data)


def as_bytes(extension: str, rows: list[dict[str, Any]]) -> bytes:
    if extension == ".csv":
        return as_csv(rows)
    if extension == ".jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    if extension == ".json":
        return json.dumps({"defaults": {"visibility": "public"}, "models": rows}).encode()
    if extension == ".toml":
        return f"models = {as_toml(rows)}\n".encode()
    return yaml.safe_dump({"models": rows}).encode()


def judge_mutated(folder: Path, seeds: range) -> None:
    """Nothing but answers: no crash, and nothing made or changed."""
    for seed in seeds:
        extension, data = mutated(seed)
        path = folder / f"fuzz{extension}"
        path.write_bytes(data)
        before = sorted(folder.iterdir())
        judge(path)
        assert sorted(folder.iterdir()) == before, seed
        assert path.read_bytes() == data, seed
        path.unlink()


def test_mutated_manifests(folder: Path) -> None:
    judge_mutated(folder, range(300))


@pytest.mark.attack
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("part", range(16))
def test_19_200_mutated_manifests(part: int, folder: Path) -> None:
    judge_mutated(folder, range(1_200 * part, 1_200 * (part + 1)))
