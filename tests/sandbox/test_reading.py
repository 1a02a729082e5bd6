"""The endpoints that read, and the small ones that write: shapes, keys, codes."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bulkload.sandbox.api.answers import timestamp

pytestmark = pytest.mark.anyio
SAMPLE = Path(__file__).parents[2].parent / "shared" / "data" / "models-list-sample.json"


def shape(value: Any) -> Any:
    """The keys of a JSON value, in order, without its leaves."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items() if key not in {"arch", "accel", "framework_config"}}
    return [shape(value[0])] if isinstance(value, list) and value else None


@pytest.mark.skipif(not SAMPLE.exists(), reason="the real models/list answer is not there")
async def test_models_list_has_the_keys_of_a_real_answer_in_their_order(start: Any) -> None:
    """Key for key, beside the optional arch and accel."""
    real = json.loads(SAMPLE.read_text())
    async with start() as caller:
        await caller.publish()
        _, answer = await caller.ask("models/list", {"workspace_id": caller.sandbox.workspace_id})
        assert json.dumps(shape(answer)) == json.dumps(shape(real))
        assert answer["models"][0]["model"]["owner_id"] == real["models"][0]["model"]["owner_id"] == '""'


async def test_a_version_is_answered_in_the_doubled_form_on_both_paths(start: Any) -> None:
    """model_version.model_version and model_version.config; no model pk, no updated_at, no owner_id."""
    async with start() as caller:
        version_id = await caller.publish()
        first = await caller.ask("models/get_version_by_id", {"model_version_id": version_id})
        second = await caller.ask("models/get_model_version_by_id", {"model_version_id": version_id})
        assert first == second
        outer = first[1]["model_version"]
        assert list(outer) == ["model_version", "config"]
        assert outer["model_version"]["id"] == outer["config"]["model_version_id"] == version_id
        assert not {"models_pk_id", "updated_at", "owner_id"} & outer["model_version"].keys()
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00", outer["model_version"]["created_at"])
        assert len(outer["config"]) == 13


@pytest.mark.parametrize(("settings", "code"), [({}, 404), ({"unknown_version_status": 500}, 500)])
async def test_an_unknown_version_is_an_error_body(start: Any, settings: dict[str, int], code: int) -> None:
    """The code is a setting: nobody saw the real one."""
    async with start(**settings) as caller:
        status, answer = await caller.ask("models/get_version_by_id", {"model_version_id": 1})
        assert (status, answer["code"]) == (code, code)
        assert "1" in answer["msg"]


@pytest.mark.parametrize("body", [{}, {"model_version_id": "1215"}, [], {"model_version_id": None}])
async def test_a_malformed_question_is_a_bad_request(start: Any, body: Any) -> None:
    """400, and what is wrong."""
    async with start() as caller:
        status, answer = await caller.ask("models/get_version_by_id", body)
        assert (status, answer["code"]) == (400, 400)
        assert answer["msg"].startswith("Bad request: ")


async def test_models_list_keeps_workspaces_apart_and_shows_the_newest_version_first(start: Any) -> None:
    """By id, by name, or all of them."""
    async with start() as caller:
        _, created = await caller.ask("workspaces/create", {"workspace_name": "other"})
        here = [await caller.publish(name="m"), await caller.publish(name="m")]
        there = await caller.publish(name="m", workspace_id=created["workspace_id"])

        async def ids(body: Any) -> list[list[int]]:
            _, answer = await caller.ask("models/list", body)
            return [[item["model_version"]["id"] for item in model["model_versions"]] for model in answer["models"]]

        assert await ids({"workspace_id": caller.sandbox.workspace_id, "workspace_name": None}) == [here[::-1]]
        assert await ids({"workspace_name": "other"}) == [[there]]
        assert await ids({}) == [here[::-1], [there]]
        assert await ids({"workspace_id": 1}) == []


async def test_list_versions_matches_by_name_or_pk_over_all_workspaces(start: Any) -> None:
    """It drags in foreign models, as the real one does: a version id taken for a pk finds another model's."""
    async with start() as caller:
        _, created = await caller.ask("workspaces/create", {"workspace_name": "other"})
        first = await caller.publish(name="a")
        namesake = await caller.publish(name="a", workspace_id=created["workspace_id"])
        foreign = await caller.publish(name="b")
        pks = {version.id: version.models_pk_id for version in caller.sandbox.versions()}

        async def ids(body: Any) -> set[int]:
            status, answer = await caller.ask("models/list_versions", body)
            assert (status, type(answer)) == (200, list)
            return {item["id"] for item in answer}

        assert await ids({"model_id": "a"}) == {first, namesake}
        assert await ids({"models_pk_id": pks[first]}) == {first}
        assert await ids({"model_id": "a", "models_pk_id": pks[foreign]}) == {first, namesake, foreign}
        assert await ids({"model_id": None, "models_pk_id": None}) == set()
        (item,) = (await caller.ask("models/list_versions", {"model_id": "b"}))[1]
        keys = "sha models_pk_id model_version owner_id model_id id file_name image_path status"
        assert list(item) == keys.split()
        assert (item["model_id"], item["models_pk_id"]) == ("b", pks[foreign])


async def test_list_versions_for_model_is_scoped_and_has_the_shape_of_models_list(start: Any) -> None:
    """Name and workspace, both required."""
    async with start() as caller:
        await caller.publish(name="a")
        await caller.publish(name="b")
        where = caller.sandbox.workspace_id
        _, answer = await caller.ask("models/list_versions_for_model", {"model_id": "a", "workspace_id": where})
        assert [model["model"]["name"] for model in answer["models"]] == ["a"]
        _, answer = await caller.ask("models/list_versions_for_model", {"model_id": "a", "workspace_id": 1})
        assert answer == {"models": []}
        assert (await caller.ask("models/list_versions_for_model", {"model_id": "a"}))[0] == 400


async def test_get_config_by_id_takes_a_version_id_and_has_four_keys(start: Any) -> None:
    """null for a version that is not there."""
    async with start() as caller:
        version_id = await caller.publish()
        _, answer = await caller.ask("models/get_config_by_id", {"model_id": version_id})
        assert list(answer["model_config"]) == ["id", "runtime", "tensor_fields", "filter_threshold"]
        assert (await caller.ask("models/get_config_by_id", {"model_id": 1}))[1] == {"model_config": None}


async def test_the_newest_configuration_counts(start: Any) -> None:
    """insert_model_config is asked with openai_config and answers with openai; schemas of the upload were there."""
    async with start() as caller:
        version_id = await caller.publish(framework="pytorch", file_name="a.pt")
        _, before = await caller.ask("models/get_version_by_id", {"model_version_id": version_id})
        assert before["model_version"]["config"]["input_schema"] == caller.schema
        body = {"model_version_id": version_id, "tensor_fields": ["tensor"], "openai_config": {"enabled": True}}
        status, answer = await caller.ask("models/insert_model_config", body)
        assert status == 200
        config = answer["model_config"]
        assert (config["tensor_fields"], config["openai"]) == (["tensor"], {"enabled": True})
        assert config["id"] > before["model_version"]["config"]["id"]
        _, after = await caller.ask("models/get_version_by_id", {"model_version_id": version_id})
        assert after["model_version"]["config"] == config


@pytest.mark.parametrize(
    ("framework", "runtime", "image"),
    [
        ("onnx", "onnx", False),
        ("tensorflow", "tensorflow", False),
        ("pytorch", "onnx", False),
        ("xgboost", "onnx", False),
        ("sklearn", "flight", True),
        ("keras", "flight", True),
        ("hugging-face-summarization", "flight", True),
    ],
)
async def test_a_ready_version_has_the_runtime_and_image_of_its_framework(
    start: Any, framework: str, runtime: str, image: bool
) -> None:
    """Containers have an image; natively loaded models have none."""
    async with start() as caller:
        version_id = await caller.publish(framework=framework, file_name="a.zip")
        _, answer = await caller.ask("models/get_version_by_id", {"model_version_id": version_id})
        version, config = answer["model_version"]["model_version"], answer["model_version"]["config"]
        assert (version["status"], config["runtime"]) == ("ready", runtime)
        assert (version["image_path"] is not None) is image


async def test_a_converting_version_waits_in_its_first_phase(start: Any) -> None:
    """Statuses come with time; pytorch runs as flight until it was loaded natively."""
    async with start(time_scale=1000.0) as caller:
        version_id = await caller.publish(framework="pytorch", file_name="a.pt")
        _, answer = await caller.ask("models/get_version_by_id", {"model_version_id": version_id})
        assert answer["model_version"]["model_version"]["status"] == "pending_load_native"
        assert answer["model_version"]["model_version"]["task_id"] is not None
        assert answer["model_version"]["config"]["runtime"] == "flight"


async def test_conversions_are_worked_off_in_the_order_of_upload(start: Any) -> None:
    """One converter: each version ends when those before it and its own time are over."""
    async with start(time_scale=0.01, converters=1) as caller:
        for number in range(4):
            await caller.publish(name=f"m{number}", framework="xgboost", file_name="a.pkl")
        seen: list[list[str]] = []
        while not seen or seen[-1] != ["ready"] * 4:
            seen.append([version.status for version in caller.sandbox.versions()])
        for statuses in seen:
            assert statuses == sorted(statuses, key=lambda status: status != "ready")
            assert statuses.count("attempting_load_native") <= 1


async def test_onnx_by_conversion_can_be_stuck_for_ever(start: Any) -> None:
    """Trap 10 as an option."""
    async with start(stuck_native_via_convert=True) as caller:
        assert (await caller.poll(await caller.publish()))["status"] == "attempting_load_container"
        assert (await caller.poll(await caller.publish(route="models/upload")))["status"] == "ready"


async def test_upload_logs_have_the_documented_lines_and_count_from_the_newest(
    start: Any, archive: Callable[..., bytes]
) -> None:
    """Nanoseconds, stream, F, text; empty for native models."""
    async with start() as caller:
        native = await caller.publish()
        broken = await caller.publish(archive({"model/main.py": None}), framework="custom", file_name="x.zip")
        assert (await caller.ask("models/get_upload_logs", {"model_version_id": native}))[1] == {"logs": []}
        _, answer = await caller.ask("models/get_upload_logs", {"model_version_id": broken, "lines": None})
        assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z std(out|err) F ", line) for line in answer["logs"])
        summary = (await caller.poll(broken))["error_summary"]
        assert answer["logs"][-1].endswith(f"Error: {summary}")
        _, last = await caller.ask("models/get_upload_logs", {"model_version_id": broken, "lines": 1})
        assert last["logs"] == answer["logs"][-1:]


async def test_a_model_is_read_by_its_pk(start: Any) -> None:
    """models/get and models/get_by_id."""
    async with start() as caller:
        version_id = await caller.publish(name="a")
        pk = caller.sandbox.versions()[0].models_pk_id
        _, model = await caller.ask("models/get", {"id": pk})
        assert list(model) == ["id", "name", "owner_id", "created_at", "updated_at", "models", "workspace"]
        assert [item["id"] for item in model["models"]] == [version_id]
        _, model = await caller.ask("models/get_by_id", {"id": pk})
        assert (model["id"], model["model_config"]["runtime"]) == (pk, "onnx")
        assert (await caller.ask("models/get", {"id": 1}))[0] == 404


async def test_deleting_is_a_dry_run_unless_confirmed(start: Any) -> None:
    """It tells the bytes; confirmed, versions, files and the empty model are gone."""
    async with start() as caller:
        for name in ("a", "a", "b"):
            await caller.publish(b"12345", name=name)
        model = {"model_id": "a", "workspace_id": caller.sandbox.workspace_id}
        assert (await caller.ask("models/delete_model", model)) == (200, {"bytes": 10})
        assert len(caller.sandbox.versions()) == 3
        assert (await caller.ask("models/delete_model", model | {"confirm_delete": True})) == (200, {"bytes": 10})
        (left,) = caller.sandbox.versions()
        body = {"model_versions": [left.uuid], "confirm_delete": True}
        assert (await caller.ask("models/delete_model_versions", body)) == (200, {"bytes": 5})
        assert caller.sandbox.versions() == []
        assert not left.path.exists()
        assert (await caller.ask("models/list"))[1] == {"models": []}


async def test_workspaces_are_listed_with_their_models_and_created_once(start: Any) -> None:
    """A name that is taken fails as it does on the whole instance."""
    async with start() as caller:
        await caller.publish()
        status, created = await caller.ask("workspaces/create", {"workspace_name": "mine"})
        assert status == 200
        status, answer = await caller.ask("workspaces/create", {"workspace_name": "mine"})
        assert (status, answer["code"]) == (500, 500)
        _, listed = await caller.ask("workspaces/list")
        default, mine = listed["workspaces"]
        assert list(mine) == ["id", "name", "created_at", "created_by", "archived", "models", "pipelines"]
        assert default["name"] == f"{caller.sandbox.username} - Default Workspace"
        assert default["models"] == [caller.sandbox.versions()[0].models_pk_id]
        assert (mine["id"], mine["name"], mine["models"]) == (created["workspace_id"], "mine", [])


async def test_features_and_unknown_paths(start: Any) -> None:
    """A cheap ping; 404 for what is not there, 405 for the wrong method."""
    async with start() as caller:
        assert (await caller.ask("features/list"))[1]["is_auth_enabled"] is True
        assert (await caller.ask("models/teleport"))[0] == 404
        async with caller.session.get(f"{caller.sandbox.endpoint}/v1/api/models/list") as response:
            assert response.status == 405


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1970-01-01T00:00:00+00:00"),
        (1767983880.86797, "2026-01-09T18:38:00.86797+00:00"),
        (1767983880.5, "2026-01-09T18:38:00.5+00:00"),
    ],
)
async def test_timestamps_are_not_of_fixed_width(seconds: float, text: str) -> None:
    """Trap 9: five digits occur."""
    assert timestamp(seconds) == text
