"""requirements.txt: what pip would certainly not understand, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkload.sandbox.judge.requirements import unreadable_requirement

GOOD = r"""
# a comment
numpy
numpy==1.26.4  # pinned
torch==2.0.1+cu118
llama-cpp-python == 0.2.61
google-auth>=2.30.0,<3
scipy ~= 1.11.0
jax[cuda12_pip]>=0.4 ; python_version >= "3.9" and sys_platform == 'linux'
typing_extensions (>=4)
pandas!=2.0,>=1.5
exact===1.0-odd
flash-attn @ https://example.com/flash_attn-2.5-cp310-cp310-linux_x86_64.whl
git+https://github.com/huggingface/transformers.git@main
https://example.com/a.zip
./wheels/local.whl
/opt/wheels/local.whl
local-1.0-py3-none-any.whl
-r other.txt
--index-url https://example.com/simple
--find-links=./wheels
hashed==1.0 \
    --hash=sha256:abc \
    --hash=sha256:def
"""


def test_every_form_that_pip_knows_is_readable() -> None:
    """Names, versions, extras, markers, places, options, hashes, comments."""
    assert unreadable_requirement(GOOD.encode()) is None


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_byte_order_marks_are_understood(encoding: str) -> None:
    """What Windows writes, with its line ends."""
    assert unreadable_requirement("numpy\r\ntorch==2.0\r\n".encode(encoding)) is None
    assert unreadable_requirement("numpy\r\ntorch=2.0\r\n".encode(encoding)) == "torch=2.0"


@pytest.mark.parametrize(
    "line",
    [
        "numpy=1.2",
        "numpy==",
        "numpy 1.2",
        "import numpy as np",
        "pip install numpy",
        "numpy, scipy",
        "== 1.0",
        "{}",
        "a\0b",
    ],
)
def test_what_pip_certainly_refuses_is_named(line: str) -> None:
    """The first such line."""
    assert unreadable_requirement(f"numpy\n{line}\n???".encode()) == line


@given(st.binary(max_size=300))
def test_any_bytes_are_read(content: bytes) -> None:
    """Whatever is in the file."""
    unreadable_requirement(content)


@pytest.mark.parametrize("line", ["a" * 1_000_000, "a" + " " * 1_000_000 + "!", "a=" * 500_000, "a[" * 500_000])
def test_long_lines_take_no_time(line: str) -> None:
    """They are not looked at, or matched in one go; the test's time limit would tell."""
    unreadable_requirement(line.encode())
    unreadable_requirement(line[:4000].encode())
