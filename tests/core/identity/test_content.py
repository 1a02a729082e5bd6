"""Two equalities: what is already there, and what an upload whose answer was lost may have made."""

import base64
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from bulkload.core.contract.frameworks import FRAMEWORKS
from bulkload.core.identity.content import (
    Match,
    content_of_entry,
    content_of_version,
    could_be_ours,
    entry_key,
    normal_model_path,
    offline_keys,
    same_content,
)
from bulkload.core.model.records import Conversion, Entry, RegistryVersion

SHA256 = "ab" * 32
OTHER_SHA256 = "cd" * 32

MakeEntry = Callable[..., Entry]
MakeVersion = Callable[..., RegistryVersion]


def schema(*columns: tuple[str, pa.DataType], metadata: dict[bytes | str, bytes | str] | None = None) -> str:
    fields = [pa.field(name, kind) for name, kind in columns]
    return base64.b64encode(pa.schema(fields, metadata=metadata).serialize().to_pybytes()).decode()


FLOATS = schema(("x", pa.float32()))
SAME_FLOATS = schema(("x", pa.float32()), metadata={"pandas": "{}"})
INTEGERS = schema(("x", pa.int64()))


def equal(entry: Entry, version: RegistryVersion, default_arch: str | None = None) -> bool:
    """Whether the version is what publishing the entry into workspace 7 would make."""
    return same_content(content_of_entry(entry, 7, default_arch), SHA256, version, default_arch)


def match(
    entry: Entry, version: RegistryVersion, fence: frozenset[int] = frozenset(), default_arch: str | None = None
) -> Match:
    """How well the version answers for the entry, sent into workspace 7 as model.onnx."""
    content = content_of_entry(entry, 7, default_arch)
    return could_be_ours(content, SHA256, "model.onnx", fence, version, default_arch)


# same_content


def test_what_was_published_is_equal(make_entry: MakeEntry, make_version: MakeVersion) -> None:
    assert equal(make_entry(), make_version())


DIFFERENCES: list[dict[str, Any]] = [
    {"workspace_id": 8},
    {"name": "other"},
    {"sha256": OTHER_SHA256},
    {"sha256": None},
    {"visibility": "public"},
    {"framework": "tensorflow"},
    {"python_version": "3.9"},
    {"requirements": ("numpy",)},
    {"arch": "arm"},
    {"accel": "cuda"},
    {"accel": {"qaic": {"num_cores": 16}}},
    {"framework_config": {"framework": "onnx", "config": {"a": 1}}},
]


@pytest.mark.parametrize("difference", DIFFERENCES, ids=str)
def test_any_other_field_makes_another_content(
    difference: dict[str, Any], make_entry: MakeEntry, make_version: MakeVersion
) -> None:
    assert not equal(make_entry(), make_version(**difference))


@pytest.mark.parametrize(
    "indifferent",
    [{"version_id": 99}, {"status": "error"}, {"status": None}, {"size": 11}, {"uuid": "u"}, {"file_name": "b.onnx"},
     {"created_at": "2026"}, {"error_summary": "bad"}, {"input_schema": FLOATS, "output_schema": INTEGERS}],
    ids=str,
)  # fmt: skip
def test_what_is_not_content_does_not_count(
    indifferent: dict[str, Any], make_entry: MakeEntry, make_version: MakeVersion
) -> None:
    """Nor do schemas count where the framework needs none: the registry may show some."""
    assert equal(make_entry(), make_version(**indifferent))


def test_a_version_without_its_conversion_is_no_equal(make_entry: MakeEntry, make_version: MakeVersion) -> None:
    version = RegistryVersion(version_id=1, name="model", workspace_id=7, sha256=SHA256)
    assert content_of_version(version, None) is None
    assert not equal(make_entry(), version)


@pytest.mark.parametrize(
    ("asked", "shown", "default", "is_equal"),
    [
        (None, None, None, True),
        (None, "x86", "x86", True),
        ("x86", None, "x86", True),
        ("arm", None, "x86", False),
        (None, "arm", "x86", False),
        ("x86", "x86", None, True),
        # Where the registry does not say its default, a shown arch may be anything.
        (None, "x86", None, False),
    ],
)
def test_an_absent_arch_is_the_registrys_default(
    asked: str | None,
    shown: str | None,
    default: str | None,
    is_equal: bool,
    make_entry: MakeEntry,
    make_version: MakeVersion,
) -> None:
    assert equal(make_entry(arch=asked), make_version(arch=shown), default) is is_equal


@pytest.mark.parametrize("asked", [None, "none"])
@pytest.mark.parametrize("shown", [None, "none"])
def test_an_absent_accel_is_none(
    asked: str | None, shown: str | None, make_entry: MakeEntry, make_version: MakeVersion
) -> None:
    assert equal(make_entry(accel=asked), make_version(accel=shown))


def test_an_accel_object_counts_by_its_values(make_entry: MakeEntry, make_version: MakeVersion) -> None:
    """In any order, nulls left out, 16.0 as 16."""
    entry = make_entry(accel={"qaic": {"num_cores": 16, "ctx_len": 128}})
    assert equal(entry, make_version(accel={"qaic": {"ctx_len": 128, "num_cores": 16.0, "num_devices": None}}))
    assert not equal(entry, make_version(accel={"qaic": {"ctx_len": 128, "num_cores": 8}}))


def test_an_absent_python_is_three_eight(make_entry: MakeEntry, make_version: MakeVersion) -> None:
    assert equal(make_entry(python_version="3.8"), make_version())
    assert Conversion(framework="onnx").python_version == "3.8"


@pytest.mark.parametrize("asked", [None, "model", "./model", "model/", "./model/", "bundle.zip/model"])
@pytest.mark.parametrize("shown", ["./model/", "model", "bundle.zip/model", "bundle.zip/model/"])
def test_a_rewritten_model_path_is_the_same(
    asked: str | None, shown: str, make_entry: MakeEntry, make_version: MakeVersion
) -> None:
    """The registry shows ``<file name>/model`` for custom's ``./model/``, and fills it in where none was sent."""
    config = None if asked is None else {"framework": "custom", "config": {"model_path": asked}}
    entry = make_entry(path="a/bundle.zip", framework="custom", framework_config=config)
    rewritten = {"framework": "custom", "config": {"model_path": shown}}
    version = make_version(file_name="bundle.zip", framework="custom", framework_config=rewritten)
    assert equal(entry, version)


def test_another_model_path_is_another_content(make_entry: MakeEntry, make_version: MakeVersion) -> None:
    entry = make_entry(path="bundle.zip", framework="custom")
    other = {"framework": "custom", "config": {"model_path": "bundle.zip/other"}}
    assert not equal(entry, make_version(file_name="bundle.zip", framework="custom", framework_config=other))


@pytest.mark.parametrize(
    ("path", "file_name", "normal"),
    [
        ("./model/", None, "model"),
        ("./", "b.zip", ""),
        ("", "b.zip", ""),
        ("b.zip", "b.zip", ""),
        ("b.zip/b.zip/model", "b.zip", "model"),
        ("b.zip/model", "c.zip", "b.zip/model"),
        ("a/b", "b", "a/b"),
        ("home/me/b.zip/model", "home/me/b.zip", "model"),
    ],
)
def test_the_normal_form_of_a_model_path(path: str, file_name: str | None, normal: str) -> None:
    assert normal_model_path(path, file_name) == normal


@pytest.mark.parametrize("framework", [name for name, rule in FRAMEWORKS.items() if rule.default_config is not None])
@pytest.mark.parametrize("given", [None, {}, {"config": None}, {"config": {}}], ids=str)
def test_a_frameworks_defaults_are_filled_in(
    framework: str, given: dict[str, Any] | None, make_entry: MakeEntry, make_version: MakeVersion
) -> None:
    defaults = dict(FRAMEWORKS[framework].default_config or {})
    entry = make_entry(framework=framework, framework_config=given)
    shown = {"framework": framework, "config": {**defaults, "unset": None}}
    assert equal(entry, make_version(framework=framework, framework_config=shown))


def test_a_setting_that_is_not_the_default_counts(make_entry: MakeEntry, make_version: MakeVersion) -> None:
    config = {"framework": "vllm", "config": {"max_num_seqs": 32}}
    entry = make_entry(framework="vllm", framework_config=config)
    assert not equal(entry, make_version(framework="vllm"))
    assert equal(entry, make_version(framework="vllm", framework_config=config))


def test_null_asks_for_the_default(make_entry: MakeEntry, make_version: MakeVersion) -> None:
    entry = make_entry(framework="vllm", framework_config={"framework": "vllm", "config": {"max_num_seqs": None}})
    assert equal(entry, make_version(framework="vllm"))


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_schemas_count_exactly_where_the_framework_needs_them(
    framework: str, make_entry: MakeEntry, make_version: MakeVersion
) -> None:
    entry = make_entry(framework=framework, input_schema=FLOATS, output_schema=FLOATS)
    other = make_version(framework=framework, input_schema=INTEGERS, output_schema=FLOATS)
    assert equal(entry, other) is not FRAMEWORKS[framework].needs_schemas


def test_schemas_are_compared_decoded(make_entry: MakeEntry, make_version: MakeVersion) -> None:
    """Two libraries write the same columns in different bytes."""
    assert FLOATS != SAME_FLOATS
    entry = make_entry(framework="sklearn", input_schema=FLOATS, output_schema=INTEGERS)
    assert equal(entry, make_version(framework="sklearn", input_schema=SAME_FLOATS, output_schema=INTEGERS))
    assert not equal(entry, make_version(framework="sklearn", input_schema=INTEGERS, output_schema=FLOATS))
    assert not equal(entry, make_version(framework="sklearn", input_schema=FLOATS))


# could_be_ours


def test_what_was_sent_is_an_exact_match(make_entry: MakeEntry, make_version: MakeVersion) -> None:
    assert match(make_entry(), make_version(5), frozenset({1, 2})) is Match.EXACT


@pytest.mark.parametrize(
    "difference",
    [{"workspace_id": 8}, {"name": "other"}, {"sha256": OTHER_SHA256}, {"file_name": "other.onnx"}, {"version_id": 2}],
    ids=str,
)
def test_what_cannot_be_ours_is_no_match(
    difference: dict[str, Any], make_entry: MakeEntry, make_version: MakeVersion
) -> None:
    """Another place, name, content or file name, or a version that was there before the first byte."""
    assert match(make_entry(), make_version(**({"version_id": 5} | difference)), frozenset({1, 2})) is Match.NO


@pytest.mark.parametrize("difference", [d for d in DIFFERENCES if not {"workspace_id", "name", "sha256"} & d.keys()])
def test_our_bytes_with_another_conversion_are_a_near_match(
    difference: dict[str, Any], make_entry: MakeEntry, make_version: MakeVersion
) -> None:
    """The registry rewrites conversions: never sent again, or there would be two."""
    assert match(make_entry(), make_version(**difference)) is Match.NEAR


@pytest.mark.parametrize("hidden", [{"sha256": None}, {"file_name": None}, {"conversion": None}], ids=str)
def test_what_the_registry_does_not_show_speaks_neither_for_nor_against(
    hidden: dict[str, Any], make_entry: MakeEntry, make_version: MakeVersion
) -> None:
    """G2: a registry without digests must not make an upload look as if it had never landed."""
    assert match(make_entry(), make_version(**hidden)) is Match.NEAR


# Keys


def test_a_key_does_not_depend_on_where_the_checkout_lies(make_entry: MakeEntry) -> None:
    assert entry_key(make_entry(source="/a/m.onnx"), 7, None) == entry_key(make_entry(source="/b/m.onnx"), 7, None)


@pytest.mark.parametrize(
    "same",
    [{"line": 9}, {"labels": {"a": "b"}}, {"sha256": SHA256}, {"workspace": "named"}, {"arch": "x86"},
     {"accel": "none"}, {"input_schema": FLOATS}],
    ids=str,
)  # fmt: skip
def test_what_a_key_does_not_hold(same: dict[str, Any], make_entry: MakeEntry) -> None:
    assert entry_key(make_entry(**same), 7, "x86") == entry_key(make_entry(), 7, "x86")


@pytest.mark.parametrize(
    "other",
    [{"name": "b"}, {"version": "2"}, {"visibility": "public"}, {"path": "files/b.onnx"}, {"arch": "arm"},
     {"python_version": "3.9"}, {"framework": "sklearn"}],
    ids=str,
)  # fmt: skip
def test_what_a_key_holds(other: dict[str, Any], make_entry: MakeEntry) -> None:
    """Workspace id, name, version label, visibility, conversion, schemas, path as written."""
    assert entry_key(make_entry(**other), 7, "x86") != entry_key(make_entry(), 7, "x86")
    assert entry_key(make_entry(), 8, "x86") != entry_key(make_entry(), 7, "x86")
    assert len(entry_key(make_entry(), 7, "x86")) == 32


def test_keys_of_needed_schemas_follow_what_they_mean(make_entry: MakeEntry) -> None:
    keys = [
        entry_key(make_entry(framework="sklearn", input_schema=text, output_schema=FLOATS), 7, None)
        for text in (FLOATS, SAME_FLOATS, INTEGERS)
    ]
    assert keys[0] == keys[1] != keys[2]


def share(one: Entry, other: Entry) -> bool:
    return bool(set(offline_keys(one)) & set(offline_keys(other)))


def test_the_same_file_twice_for_one_model_shares_a_key(make_entry: MakeEntry) -> None:
    assert share(make_entry(), make_entry(line=2, labels={"a": "b"}))


def test_the_same_declared_digest_twice_for_one_model_shares_a_key(make_entry: MakeEntry) -> None:
    assert share(make_entry(path="a.onnx", sha256=SHA256), make_entry(path="b.onnx", sha256=SHA256))
    assert not share(make_entry(path="a.onnx", sha256=SHA256), make_entry(path="b.onnx", sha256=OTHER_SHA256))


@pytest.mark.parametrize(
    "other",
    [{"version": "2"}, {"name": "b"}, {"workspace": "9"}, {"visibility": "public"}, {"arch": "arm"}],
    ids=str,
)
def test_other_labels_models_or_settings_share_none(other: dict[str, Any], make_entry: MakeEntry) -> None:
    assert not share(make_entry(sha256=SHA256), make_entry(sha256=SHA256, **other))


def test_a_path_that_looks_like_a_digest_shares_no_key_with_it(make_entry: MakeEntry) -> None:
    assert not share(make_entry(path=SHA256), make_entry(path="a.onnx", sha256=SHA256))
