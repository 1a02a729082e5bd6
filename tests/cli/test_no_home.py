"""A user without a home folder, as in a container with a user id of its own: commands work, or say what they miss."""

import os
import subprocess
import sys

import pytest

from tests.conftest import clean_environment
from tests.variants import every

# No folder of the XDG specification either. A relative home would be another one in each folder: it is none.
NOWHERE = {"HOME": "relative", "XDG_STATE_HOME": "", "XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": ""}
ADDRESS = {"BULKLOAD_ENDPOINT": "http://127.0.0.1:9"}
ASKING = ["whoami", "run models.csv --workspace w", "plan models.csv --workspace w", "models list", "workspaces list"]
# A user id that no passwd line knows; its rights stay those of this test.
WITHOUT_PASSWD_LINE = """
import os, sys
os.setresuid(54321, os.geteuid(), os.geteuid())
from bulkload.cli import run_command_line
sys.exit(run_command_line(sys.argv[1:]))
"""


@pytest.mark.parametrize("words", ASKING)
def test_without_a_token_the_ways_in_are_named(words, bulkload, tmp_path):
    (tmp_path / "models.csv").write_text("name,path\nm,m.onnx\n")
    (tmp_path / "m.onnx").write_bytes(b"model")
    result = bulkload(*words.split(), env=NOWHERE | ADDRESS)
    assert result.returncode == 2
    assert "no token for http://127.0.0.1:9; run `bulkload login`, set BULKLOAD_TOKEN" in result.stderr
    assert not (tmp_path / "relative").exists()


def test_with_a_token_all_is_as_ever(bulkload, start_sandbox):
    sandbox = start_sandbox()
    assert bulkload("whoami", env=NOWHERE | sandbox.environment).returncode == 0


@pytest.mark.parametrize("words", ["login", "logout"])
def test_what_needs_a_home_says_so(words, bulkload, tmp_path):
    result = bulkload(words, env=NOWHERE | ADDRESS)
    assert result.returncode == 2
    assert "there is no home folder to keep a login in; set HOME, or XDG_STATE_HOME" in result.stderr
    assert not (tmp_path / "relative").exists()


def test_a_home_that_is_no_folder_holds_no_logins(bulkload):
    """As daemons have it."""
    result = bulkload("whoami", env=NOWHERE | ADDRESS | {"HOME": "/dev/null"})
    assert result.returncode == 2
    assert "no token for" in result.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take another user id")
@pytest.mark.parametrize("words", every(4, ["whoami", "login", "models list", "status none.db"]))
def test_neither_home_nor_passwd_line(words, tmp_path):
    environment = {name: value for name, value in clean_environment().items() if name != "HOME" and "XDG_" not in name}
    result = subprocess.run(
        [sys.executable, "-P", "-c", WITHOUT_PASSWD_LINE, *words.split()],
        cwd=tmp_path, env=environment | ADDRESS, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert result.returncode == 2
    assert "internal error" not in result.stderr
