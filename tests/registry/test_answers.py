"""Whatever a registry answers is read, and never raises."""

from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bulkload.core.bounds import LONGEST_MESSAGE_CHARACTERS
from bulkload.core.model.records import Conversion, Workspace
from bulkload.registry import answers
from bulkload.registry.redaction import NO_SECRETS, Secrets

NODE: dict[str, Any] = {
    "model_version": {
        "name": "api-sample-model",
        "visibility": "public",
        "workspace_id": 108,
        "conversion": {
            "python_version": "3.8",
            "requirements": ["a"],
            "framework": "custom",
            "arch": "x86",
            "accel": {"qaic": {}},
            "framework_config": {"framework": "custom", "config": {"model_path": "a.zip/model"}},
        },
        "id": 1215,
        "status": "attempting_load_container",
        "file_info": {"version": "b935b572", "sha": "bc85", "file_name": "ccfraud.onnx", "size": 1928},
        "created_at": "2026-01-06T16:34:30.953078+00:00",
        "error_summary": None,
    },
    "config": {"id": 1788, "model_version_id": 1215, "input_schema": "aW4=", "output_schema": "b3V0"},
}


def without(*path: str) -> dict[str, Any]:
    """NODE without one value."""
    copy: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(NODE))
    place = copy
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return copy


def test_every_field_of_a_version_is_read() -> None:
    """From the nested form of get_version_by_id and models/list."""
    version = answers.version_from(NODE)
    assert version is not None
    assert msgspec.structs.asdict(version) == {
        "version_id": 1215,
        "name": "api-sample-model",
        "workspace_id": 108,
        "visibility": "public",
        "conversion": Conversion(
            framework="custom",
            requirements=("a",),
            arch="x86",
            accel={"qaic": {}},
            framework_config={"framework": "custom", "config": {"model_path": "a.zip/model"}},
        ),
        "input_schema": "aW4=",
        "output_schema": "b3V0",
        "status": "attempting_load_container",
        "sha256": "bc85",
        "size": 1928,
        "file_name": "ccfraud.onnx",
        "uuid": "b935b572",
        "error_summary": None,
        "created_at": "2026-01-06T16:34:30.953078+00:00",
    }


@pytest.mark.parametrize(
    ("path", "field"),
    [
        (("model_version", "file_info"), "sha256"),
        (("model_version", "file_info", "sha"), "sha256"),
        (("model_version", "file_info", "size"), "size"),
        (("model_version", "conversion"), "conversion"),
        (("model_version", "conversion", "framework"), "conversion"),
        (("model_version", "status"), "status"),
        (("model_version", "created_at"), "created_at"),
        (("config",), "input_schema"),
    ],
)
def test_what_is_missing_is_unknown(path: tuple[str, ...], field: str) -> None:
    """The vendor's generated client fails for the whole list instead."""
    version = answers.version_from(without(*path))
    assert version is not None
    assert getattr(version, field) is None


@pytest.mark.parametrize("path", [("model_version",), ("model_version", "id"), ("model_version", "name")])
def test_without_id_or_name_it_is_no_version(path: tuple[str, ...]) -> None:
    """There is nothing to speak of."""
    assert answers.version_from(without(*path)) is None


@pytest.mark.parametrize(
    ("said", "meant"), [(None, None), ("null", None), ("", None), ("No room", "No room"), (7, None)]
)
def test_the_word_null_is_no_reason(said: Any, meant: str | None) -> None:
    """It stands in real answers."""
    version = answers.version_from({"model_version": {**NODE["model_version"], "error_summary": said}})
    assert version is not None
    assert version.error_summary == meant


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
VERSIONS = st.fixed_dictionaries(
    {
        "model_version": st.fixed_dictionaries(
            {"id": st.integers() | JSON, "name": st.text() | JSON},
            optional=dict.fromkeys(("conversion", "file_info", "status", "workspace_id", "visibility", "new"), JSON),
        )
    },
    optional={"config": JSON},
)


@given(JSON | VERSIONS | st.lists(VERSIONS, max_size=3) | st.fixed_dictionaries({"models": JSON, "workspaces": JSON}))
def test_nothing_that_is_json_raises(value: Any) -> None:
    """Unknown fields, other types, other shapes."""
    answers.version_from(value)
    answers.versions_of_one_model(value)
    answers.listed_versions(value)
    answers.workspaces_from(value)
    answers.uploaded_version_id(value)
    answers.created_workspace_id(value)


@pytest.mark.parametrize("shape", ["models", "model_versions"])
def test_one_models_versions_come_in_two_forms(shape: str) -> None:
    """Which one is on the wire is unproven (fact sheet, 1.7)."""
    answer = {"models": [{"model": {}, "model_versions": [NODE]}]} if shape == "models" else {"model_versions": [NODE]}
    found = answers.versions_of_one_model(answer)
    assert found is not None
    assert [version.version_id for version in found] == [1215]


@pytest.mark.parametrize("answer", [{"models": []}, {"model_versions": []}])
def test_a_model_may_have_no_versions(answer: Any) -> None:
    """It says so."""
    assert answers.versions_of_one_model(answer) == []


@pytest.mark.parametrize(
    "answer", [{}, [], None, {"msg": "no", "code": 500}, {"models": None}, {"models": [{"id": 5}]}]
)
def test_no_word_about_versions_is_not_the_word_that_there_are_none(answer: Any) -> None:
    """Else an equal version would be missed and made twice."""
    assert answers.versions_of_one_model(answer) is None


def test_list_versions_is_a_bare_array() -> None:
    """Its model_id is the name, its model_version a UUID; rows that are none are left out."""
    row = {"sha": "bc85", "models_pk_id": 1218, "model_version": "b935", "model_id": "m", "id": 1215, "file_name": "f"}
    assert answers.listed_versions([row, {"id": 1}, 7, {**row, "id": True}]) == [
        answers.ListedVersion(version_id=1215, name="m", sha256="bc85", file_name="f")
    ]
    assert answers.listed_versions({"msg": "no"}) is None


def test_archived_workspaces_are_left_out() -> None:
    """Nothing can be published into them."""
    rows = [{"id": 1, "name": "a"}, {"id": 2, "name": "b", "archived": True}, {"id": "3", "name": "c"}, None]
    assert answers.workspaces_from({"workspaces": rows}) == [Workspace(workspace_id=1, name="a")]
    assert answers.workspaces_from({}) is None


@pytest.mark.parametrize("id_", [None, "1216", True, 1.5, 2**63])
def test_an_answer_without_a_proper_id_names_no_version(id_: Any) -> None:
    """An id is an integer that a database can hold."""
    assert answers.uploaded_version_id({"insert_models": {"returning": [{"models": [{"id": id_}]}]}}) is None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"msg":"Bad request: Not a valid ZIP file.","code":400}', "Bad request: Not a valid ZIP file."),
        (b'{"code":401,"status":"error","error":"Jwt is missing","source":"platform"}', "Jwt is missing"),
        (b'{"error":"invalid_grant","error_description":"Token is not active"}', "Token is not active"),
        (b"Jwt is expired", "Jwt is expired"),
        (b"", ""),
        (b'["a"]', '["a"]'),
        (b'{"msg":5}', '{"msg":5}'),
        (b"<html>\r\n<head><title>502 Bad Gateway</title></head></html>", "an HTML page: 502 Bad Gateway"),
        (b"  <!doctype html><p>no</p>", "an HTML page"),
        (b'{"msg":"cut o', '{"msg":"cut o'),
        (b"\xff\xfe\x00binary", "�� binary"),
        (b'{"msg":"two\\nlines \\u001b[31mred"}', "two lines [31mred"),
        (b"[" * 100_000, "[" * 499 + "…"),
    ],
)
def test_an_error_is_told_in_one_readable_line(body: bytes, words: str) -> None:
    """Both JSON forms, plain text, HTML, nothing, garbage; no control characters reach a terminal."""
    assert answers.error_message(body) == words


@given(st.binary(max_size=200))
def test_no_error_body_raises(body: bytes) -> None:
    """And none is longer than a person reads, or unfit for a database."""
    words = answers.error_message(body)
    assert len(words) <= LONGEST_MESSAGE_CHARACTERS
    words.encode()


DATE = "Wed, 21 Oct 2015 07:28:00 GMT"


@pytest.mark.parametrize(
    ("header", "date", "seconds"),
    [
        (None, DATE, None),
        ("120", None, 120.0),
        (" 5 ", DATE, 5.0),
        ("0", DATE, 0.0),
        ("1.5", DATE, 1.5),
        ("Wed, 21 Oct 2015 07:29:30 GMT", DATE, 90.0),
        ("Wednesday, 21-Oct-15 07:29:30 GMT", DATE, 90.0),
        ("Wed Oct 21 07:29:30 2015", DATE, 90.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", DATE, 0.0),
        ("Wed, 21 Oct 2015 07:29:30 GMT", None, None),
        ("Wed, 21 Oct 2015 07:29:30 GMT", "yesterday", None),
        ("soon", DATE, None),
        ("-5", DATE, None),
        ("²", DATE, None),
        ("", DATE, None),
        ("Wed, 21 Oct 2015 07:29:30 +99999999999999", DATE, None),
    ],
)
def test_retry_after_in_both_forms(header: str | None, date: str | None, seconds: float | None) -> None:
    """The date form counts from the answer's own Date: our clock may be wrong."""
    assert answers.retry_after_seconds(header, date) == seconds


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_date_raises(header: str, date: str) -> None:
    """A header is whatever somebody wrote into it."""
    answers.retry_after_seconds(header, date)


TYPED: dict[str, Any] = {
    key: st.sampled_from([NODE["model_version"][key]]) | JSON
    for key in ("conversion", "file_info", "status", "workspace_id", "visibility", "error_summary", "created_at")
}
POLLS = st.fixed_dictionaries(
    {
        "model_version": st.fixed_dictionaries(
            {"id": st.integers() | st.booleans() | st.floats(), "name": st.text() | JSON}, optional=TYPED
        ),
        "config": st.sampled_from([NODE["config"], {}]) | JSON,
    }
)


@given(POLLS)
@example(NODE)
@example({**NODE, "model_version": {**NODE["model_version"], "id": 2**63}})
@example({**NODE, "model_version": {**NODE["model_version"], "id": True}})
@example({**NODE, "model_version": {**NODE["model_version"], "name": "n" * 10_000, "error_summary": "null"}})
@example(
    {**NODE, "model_version": {**NODE["model_version"], "conversion": {"framework": "vllm", "accel": {"a": [2**70]}}}}
)
def test_the_quick_way_of_a_poll_reads_what_the_lenient_one_reads(node: dict[str, Any]) -> None:
    """Or leaves it to that."""
    text = msgspec.json.encode({"model_version": node})
    found = answers.polled_version(text, NO_SECRETS)
    assert found is None or found == answers.version_from(msgspec.json.decode(text)["model_version"])


def test_a_documented_poll_takes_the_quick_way() -> None:
    """Its token is not in it."""
    text = msgspec.json.encode({"model_version": NODE})
    assert answers.polled_version(text, Secrets(["a-token-of-some-length"])) == answers.version_from(NODE)
    assert answers.polled_version(text, Secrets(["api-sample-model"])) is None
    assert answers.polled_version(b"[" * 100_000, NO_SECRETS) is None
