"""Words of a shell command: what a terminal would obey, or is no text, is written in signs that are neither."""

import shutil
import subprocess

import pytest

from bulkload.core.text.visible import visible
from bulkload.report.curl import shell_word

WORDS = [
    "plain", "with blank", "it's", 'file=@"a;b";type=x', "\x1b]0;t\x07", '100%\x1b\\n$HOME`id`"', "modèle-☃",
    "a\u202eb☃", "\udcff\udcfe.onnx", "-n\x1b", "a\nb", "\x9b2J", "$(id)\x7f!",
]  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_shell_reads_the_very_word(shell, word):
    """Bytes are bytes: what the shell hands on is the name as it is on the disk."""
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    written = shell_word(word)
    assert visible(written) == written
    found = subprocess.run([shell, "-c", f"printf %s {written}"], capture_output=True, check=True)
    assert found.stdout == word.encode("utf-8", "surrogateescape")
