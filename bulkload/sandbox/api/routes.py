"""The endpoints that read and the small ones that write: requests as records in, shapes of answers.py out."""

import sqlite3
from asyncio import wrap_future
from contextlib import closing
from typing import Any

import msgspec

from bulkload.sandbox.api import answers
from bulkload.sandbox.api.metadata import RefusalError
from bulkload.sandbox.door.decoding import Id
from bulkload.sandbox.door.exchange import Exchange, Reply, json_reply
from bulkload.sandbox.registry import Registry
from bulkload.sandbox.store import queries
from bulkload.sandbox.store.records import Traits, Version, is_listed, shown_status


class VersionQuery(msgspec.Struct, frozen=True):
    model_version_id: Id
    lines: Id | None = None


class ListQuery(msgspec.Struct, frozen=True):
    workspace_id: Id | None = None
    workspace_name: str | None = None


class ListVersionsQuery(msgspec.Struct, frozen=True):
    model_id: str | None = None  # the NAME
    models_pk_id: Id | None = None


class NamedModelQuery(msgspec.Struct, frozen=True):
    model_id: str  # the NAME
    workspace_id: Id
    confirm_delete: bool | None = None


class DeleteVersionsQuery(msgspec.Struct, frozen=True):
    model_versions: list[str]  # UUIDs
    confirm_delete: bool | None = None


class ConfigQuery(msgspec.Struct, frozen=True):
    model_id: Id  # the VERSION id (trap 5)


class ModelQuery(msgspec.Struct, frozen=True):
    id: Id  # the model pk


class NewConfig(msgspec.Struct, frozen=True, omit_defaults=True):
    model_version_id: Id
    tensor_fields: list[str] | None = None
    filter_threshold: float | None = None
    input_schema: str | None = None
    output_schema: str | None = None
    batch_config: str | None = None
    dynamic_batching_config: dict[str, int | None] | None = None
    continuous_batching_config: dict[str, int] | None = None
    openai_config: dict[str, Any] | None = None  # asked as openai_config, answered as openai (trap 22)


class Routes:
    """Handlers of a running sandbox: an exchange in, its reply out; a RefusalError becomes an error body."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def instance_config(self, _: Exchange) -> Reply:
        """GET /v1/api/config, without a token. `sandbox_id` is the sandbox's own addition: a registry's identity."""
        return json_reply({"default_arch": "x86", "sandbox_id": self._registry.account.sandbox_id})

    async def features(self, exchange: Exchange) -> Reply:
        """POST features/list."""
        await exchange.json(dict[str, Any])
        return json_reply({"features": {}, "name": "bulkload sandbox", "is_auth_enabled": True})

    async def version(self, exchange: Exchange) -> Reply:
        """POST models/get_version_by_id, and the generated client's get_model_version_by_id."""
        query = await exchange.json(VersionQuery)
        version = self._version(exchange, query.model_version_id)
        answer = answers.version_answer(version, self._registry.clock.now(), exchange.traits)
        return json_reply({"model_version": answer})

    async def models(self, exchange: Exchange) -> Reply:
        """POST models/list: everything at once, unpaged; made in a thread, so that polls go on."""
        query = await exchange.json(ListQuery)
        work = self._registry.executor.submit(
            self._list_models, query.workspace_id, query.workspace_name, None, exchange.traits
        )
        return await wrap_future(work)

    async def versions_for_model(self, exchange: Exchange) -> Reply:
        """POST models/list_versions_for_model, in the shape of models/list (fact 1.7)."""
        query = await exchange.json(NamedModelQuery)
        return self._list_models(query.workspace_id, None, query.model_id, exchange.traits)

    async def versions(self, exchange: Exchange) -> Reply:
        """POST models/list_versions: a bare array; name OR pk, over all workspaces and owners (fact 1.6)."""
        query = await exchange.json(ListVersionsQuery)
        found = queries.matching_versions(self._registry.store.connection, query.model_id or "", query.models_pk_id)
        now, traits = self._registry.clock.now(), exchange.traits
        listed = [version for version in found if is_listed(version, now, traits)]
        return json_reply([answers.flat_version_answer(version, now, traits) for version in listed])

    async def config(self, exchange: Exchange) -> Reply:
        """POST models/get_config_by_id: `model_id` is the version id."""
        query = await exchange.json(ConfigQuery)
        exchange.version_id = query.model_id
        version = queries.find_version(self._registry.store.connection, query.model_id)
        now = self._registry.clock.now()
        return json_reply({"model_config": None if version is None else answers.short_config_answer(version, now)})

    async def insert_config(self, exchange: Exchange) -> Reply:
        """POST models/insert_model_config: a new configuration, which counts from now on."""
        query = await exchange.json(NewConfig)
        self._version(exchange, query.model_version_id)
        values = msgspec.to_builtins(query)
        version_id = values.pop("model_version_id")
        if "openai_config" in values:
            values["openai"] = values.pop("openai_config")
        self._registry.store.add_config(version_id, values)
        version = self._version(exchange, version_id)
        return json_reply({"model_config": answers.config_answer(version, self._registry.clock.now())})

    async def logs(self, exchange: Exchange) -> Reply:
        """POST models/get_upload_logs: `lines` counts from the newest; nothing before the conversion's end."""
        query = await exchange.json(VersionQuery)
        version = self._version(exchange, query.model_version_id)
        ended = shown_status(version, self._registry.clock.now()) in {"ready", "error"}
        lines = list(version.logs) if ended else []
        if query.lines is not None:
            lines = lines[max(0, len(lines) - query.lines) :]
        return json_reply({"logs": lines})

    async def model(self, exchange: Exchange) -> Reply:
        """POST models/get: a model by its pk, with flat versions."""
        model = self._model((await exchange.json(ModelQuery)).id)
        connection, now = self._registry.store.connection, self._registry.clock.now()
        workspace = queries.find_workspace(connection, model["workspace_id"])
        shown = answers.model_fields(model)
        del shown["workspace_id"]
        versions = [
            answers.flat_version_answer(version, now) for version in queries.versions_of_model(connection, model["id"])
        ]
        # The contract has no status here.
        shown["models"] = [{key: value for key, value in version.items() if key != "status"} for version in versions]
        shown["workspace"] = None if workspace is None else {"id": workspace["id"], "name": workspace["name"]}
        return json_reply(shown)

    async def model_with_config(self, exchange: Exchange) -> Reply:
        """POST models/get_by_id: a model by its pk, with its newest version's configuration."""
        model = self._model((await exchange.json(ModelQuery)).id)
        versions = queries.versions_of_model(self._registry.store.connection, model["id"])
        now = self._registry.clock.now()
        config = answers.short_config_answer(versions[0], now) if versions else None
        return json_reply(answers.model_fields(model) | {"model_config": config})

    async def delete_model(self, exchange: Exchange) -> Reply:
        """POST models/delete_model: `confirm_delete` false or absent only tells the bytes (fact 1.11, inferred)."""
        query = await exchange.json(NamedModelQuery)
        connection = self._registry.store.connection
        models = queries.find_models(connection, query.workspace_id, query.model_id)
        if not models:
            raise RefusalError(404, f"Not found: model {query.model_id!r} in workspace {query.workspace_id}")
        doomed = queries.versions_of_model(connection, models[0]["id"])
        return self._delete(doomed, confirmed=query.confirm_delete is True)

    async def delete_versions(self, exchange: Exchange) -> Reply:
        """POST models/delete_model_versions: by UUID; dry run as above."""
        query = await exchange.json(DeleteVersionsQuery)
        doomed = queries.versions_by_uuid(self._registry.store.connection, query.model_versions)
        return self._delete(doomed, confirmed=query.confirm_delete is True)

    def _version(self, exchange: Exchange, version_id: int) -> Version:
        exchange.version_id = version_id
        version = queries.find_version(self._registry.store.connection, version_id)
        if version is None:
            raise RefusalError(
                self._registry.settings.unknown_version_status, f"Not found: model version {version_id} does not exist"
            )
        return version

    def _model(self, models_pk_id: int) -> sqlite3.Row:
        model = queries.find_model(self._registry.store.connection, models_pk_id)
        if model is None:
            raise RefusalError(self._registry.settings.unknown_version_status, f"Not found: model {models_pk_id}")
        return model

    def _delete(self, doomed: list[Version], *, confirmed: bool) -> Reply:
        if confirmed:
            self._registry.store.delete_versions((version.id, version.uuid) for version in doomed)
        return json_reply({"bytes": sum(version.size for version in doomed)})

    def _list_models(
        self, workspace_id: int | None, workspace_name: str | None, name: str | None, traits: Traits
    ) -> Reply:
        """Runs in any thread: it opens a connection of its own, and one transaction makes it one moment's picture."""
        now = self._registry.clock.now()
        with closing(queries.connect(self._registry.store.data)) as connection:
            connection.execute("BEGIN")
            workspaces = {row["id"]: row for row in queries.find_workspaces(connection)}
            wanted = {
                row["id"]
                for row in workspaces.values()
                if workspace_id in {None, row["id"]} and workspace_name in {None, row["name"]}
            }
            listed = []
            for model in queries.find_models(connection, workspace_id, name):
                if model["workspace_id"] not in wanted:
                    continue
                stored = queries.versions_of_model(connection, model["id"])
                versions = [version for version in stored if is_listed(version, now, traits)]
                if versions:
                    workspace = workspaces[model["workspace_id"]]
                    listed.append(answers.listed_model(model, versions, workspace, now, traits))
            return json_reply({"models": listed})
