"""What stands around a file's bytes."""

import email.parser
import email.policy
import re
import subprocess
import sys
from email.message import Message
from typing import Any

import msgspec
import pytest

from bulkload.core.contract.file_names import sent_file_name
from bulkload.registry.form import Form, upload_form


def parts_of(form: Form, content: bytes = b"bytes") -> list[Message]:
    """The parts as the standard library's parser sees them."""
    head = f"Content-Type: {form.content_type}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + form.head + content + form.tail)
    parts = message.get_payload()
    assert isinstance(parts, list)
    return [part for part in parts if isinstance(part, Message)]


def metadata_of(form: Form) -> dict[str, Any]:
    """The metadata part, decoded."""
    value: dict[str, Any] = msgspec.json.decode(str(parts_of(form)[0].get_payload()))
    return value


def test_metadata_comes_first_and_the_file_last(bench: Any) -> None:
    """A registry that has seen the metadata knows what to do with the bytes that follow."""
    metadata, file = parts_of(bench.form())
    assert metadata.get_content_type() == "application/json"
    assert metadata.get_param("name", header="content-disposition") == "metadata"
    assert metadata.get_filename() is None
    assert file.get_content_type() == "application/octet-stream"
    assert file.get_param("name", header="content-disposition") == "file"
    assert file.get_filename() == "model.onnx"
    assert file.get_payload() == "bytes"


def test_the_length_is_exact(bench: Any) -> None:
    """It goes into Content-Length."""
    form = bench.form()
    assert form.content_length(5) == len(form.head + b"bytes" + form.tail)
    assert form.content_length(0) == len(form.head + form.tail)


def test_no_file_holds_the_boundary(bench: Any) -> None:
    """Not by accident, and not on purpose: 128 random bits, others in each process."""
    words = "from bulkload.registry.form import BOUNDARY; print(BOUNDARY)"
    elsewhere = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True).stdout.strip()
    assert re.fullmatch("bulkload-[0-9a-f]{32}", elsewhere)
    assert bench.form().boundary != elsewhere


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ('a "b".onnx', b'filename="a %22b%22.onnx"'),
        ("a\r\nb.onnx", b'filename="a%0D%0Ab.onnx"'),
        ("modèle-模型.onnx", 'filename="modèle-模型.onnx"'.encode()),
        ("a;b=c.onnx", b'filename="a;b=c.onnx"'),
        ("a%22b.onnx", b'filename="a%22b.onnx"'),
    ],
)
def test_no_file_name_breaks_out_of_its_quotes(name: str, sent: bytes) -> None:
    """As browsers write them: UTF-8, quotes and line breaks percent-encoded."""
    form = upload_form(b"{}", name)
    assert sent in form.head
    assert form.head.count(b"\r\n\r\n") == 2


def test_a_file_name_that_is_no_unicode_can_be_sent() -> None:
    """Names on disk are bytes; what is no UTF-8 is sent as a question mark instead of raising."""
    assert b'filename="a?.onnx"' in upload_form(b"{}", "a\udcff.onnx").head


@pytest.mark.parametrize("path", ["/home/me/x.zip", "./x.zip", "x.zip", "../a/x.zip"])
def test_only_the_basename_is_sent(path: str) -> None:
    """Registries store what comes; the four uploads that were seen with their folders all ended in error."""
    assert sent_file_name(path) == "x.zip"
    assert b'filename="x.zip"' in upload_form(b"{}", path).head


def test_schemas_stand_at_the_top_level(bench: Any) -> None:
    """Where examples, contract and SDK put them; the guide's table says otherwise."""
    metadata = metadata_of(bench.form(framework="pytorch", input_schema="aW4=", output_schema="b3V0"))
    assert (metadata["input_schema"], metadata["output_schema"]) == ("aW4=", "b3V0")
    assert "input_schema" not in metadata["conversion"]


def test_the_least_that_is_sent(bench: Any) -> None:
    """Required fields with their defaults; arch and accel only if given; never the source's own label."""
    metadata = metadata_of(bench.form(workspace_id=108, version="7", labels={"team": "a"}))
    assert metadata == {
        "name": "m",
        "visibility": "private",
        "workspace_id": 108,
        "conversion": {"framework": "onnx", "python_version": "3.8", "requirements": [], "framework_config": None},
        "input_schema": None,
        "output_schema": None,
    }


@pytest.mark.parametrize("accel", ["cuda", {"qaic": {"num_cores": 16}}])
def test_the_conversion_is_sent_as_given(bench: Any, accel: Any) -> None:
    """Word or object."""
    given = {"arch": "x86", "accel": accel, "python_version": "3.9", "requirements": ("numpy==1.26",)}
    conversion = metadata_of(bench.form(framework="pytorch", visibility="public", **given))["conversion"]
    assert conversion == {"framework": "pytorch", "framework_config": None, **given, "requirements": ["numpy==1.26"]}


# As the vendor's SDK sends them (fact sheet, 4.2).
DEFAULTS = {
    "custom": {"model_path": "./model/"},
    "vllm": {"gpu_memory_utilization": 0.9, "kv_cache_dtype": "auto", "max_num_seqs": 256, "quantization": "none"},
    "sglang": {
        "chunked_prefill_size": 1024,
        "context_length": 2048,
        "kv_cache_dtype": "auto",
        "max_prefill_tokens": 2048,
        "max_running_requests": 64,
        "mem_fraction_static": 0.8,
        "page_size": 16,
        "quantization": "none",
    },
}


@pytest.mark.parametrize("framework", DEFAULTS)
def test_three_frameworks_have_a_default_config(bench: Any, framework: str) -> None:
    """It is filled in when the manifest gives none."""
    conversion = metadata_of(bench.form(framework=framework))["conversion"]
    assert conversion["framework_config"] == {"framework": framework, "config": DEFAULTS[framework]}


def test_a_given_config_is_not_touched(bench: Any) -> None:
    """Not even filled up."""
    given = {"framework": "vllm", "config": {"max_model_len": 128}}
    assert metadata_of(bench.form(framework="vllm", framework_config=given))["conversion"]["framework_config"] == given
