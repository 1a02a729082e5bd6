"""Native versions that conversion never lets become ready: the wait ends, and the way out that is named works."""

from typing import Any

from bulkload.sandbox import stored_versions

ROWS: list[dict[str, Any]] = [{"name": "a", "content": b"onnx a"}, {"name": "b", "content": b"onnx b"}]


def test_a_stuck_native_version_ends_by_the_wait_and_the_other_route_publishes_it(
    bulkload, start_sandbox, write_manifest
):
    """Exit 12 with what it means and what to do; done so, both are ready."""
    sandbox = start_sandbox("--stuck-native-via-convert", "--time-scale", "0", "--no-strict")
    manifest = write_manifest(ROWS)
    words = ("run", manifest, "--workspace", "108", "--wait-timeout")
    result = bulkload(*words, "2s", "--route", "convert", env=sandbox.environment)
    assert result.returncode == 12, result.stderr
    assert "attempting_load_container: a, b" in result.stderr
    assert "2 of them onnx or tensorflow in attempting_load_container" in result.stderr
    assert "--route auto" in result.stderr
    # The registry's own clock, which says how old they are, has whole seconds.
    result = bulkload(*words, "1s", "--ledger", "new.db", env=sandbox.environment)
    assert result.returncode in (0, 3), result.stderr
    assert "2 uploads" in result.stderr
    assert len(stored_versions(sandbox.data)) == 4
