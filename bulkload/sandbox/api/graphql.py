"""POST /v1/graphql: of the real registry's database API the few types that the vendor's SDK reads (fact 5.4).

Needs graphql-core, the extra `bulkload[sandbox]`: the SDK asks for the whole schema first and writes its queries out,
so there is nothing to recognise them by but a parser. Without it the answer says so, in GraphQL's own form.
"""

from asyncio import wrap_future
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import lru_cache, partial
from operator import itemgetter
from sqlite3 import Connection
from typing import Any

import msgspec

from bulkload.sandbox.api.answers import timestamp, version_answer
from bulkload.sandbox.api.graphql_bounds import Budget, ExceededError, TooMuchError, parse_bounded
from bulkload.sandbox.door.exchange import Exchange, Reply, json_reply
from bulkload.sandbox.registry import Registry
from bulkload.sandbox.store import queries
from bulkload.sandbox.store.records import Version

NOT_INSTALLED = "this sandbox answers GraphQL where graphql-core is installed: pip install 'bulkload[sandbox]'"
# `model` is a version and `models` a model, as in the real database (fact sheet, section 0).
SCHEMA = """
schema { query: query_root }
scalar bigint
scalar float8
scalar jsonb
scalar timestamptz
enum order_by { asc desc }
input bigint_comparison_exp { _eq: bigint }
input String_comparison_exp { _eq: String }
input workspace_bool_exp { _and: [workspace_bool_exp!] id: bigint_comparison_exp name: String_comparison_exp }
input models_bool_exp { _and: [models_bool_exp!] workspace: workspace_bool_exp }
input model_bool_exp {
  _and: [model_bool_exp!]
  id: bigint_comparison_exp
  model_id: String_comparison_exp
  model_version: String_comparison_exp
  model: models_bool_exp
}
input user_default_workspace_bool_exp { user_id: String_comparison_exp }
input models_order_by { updated_at: order_by }
type query_root {
  model(where: model_bool_exp): [model!]!
  model_by_pk(id: bigint!): model
  models_by_pk(id: bigint!): models
  model_config_by_pk(id: bigint!): model_config
  workspace(where: workspace_bool_exp): [workspace!]!
  workspace_by_pk(id: bigint!): workspace
  user_default_workspace(where: user_default_workspace_bool_exp): [user_default_workspace!]!
}
type user_default_workspace { user_id: String! workspace: workspace! }
type workspace {
  id: bigint!
  name: String!
  archived: Boolean!
  created_at: timestamptz!
  created_by: String!
  users: [workspace_users!]!
  models(order_by: [models_order_by!]): [models!]!
  pipelines: [pipeline!]!
}
type workspace_users { user_id: String! user_type: String! }
type pipeline { id: bigint! }
type models {
  id: bigint!
  name: String!
  owner_id: String!
  workspace_id: bigint!
  created_at: timestamptz!
  updated_at: timestamptz!
  workspace: workspace!
  models: [model!]!
}
type model {
  id: bigint!
  model_id: String!
  model_version: String!
  models_pk_id: bigint!
  owner_id: String!
  sha: String
  status: String
  error_summary: String
  file_name: String!
  file_size: bigint
  image_path: String
  visibility: String!
  task_id: String
  conversion(path: String): jsonb
  created_by: String!
  created_at: timestamptz!
  updated_at: timestamptz!
  created_on_version: String!
  model: models!
  model_tags: [model_tag!]!
  model_configs: [model_config!]!
}
type model_tag { tag: tag! }
type tag { id: bigint! tag: String! }
type model_config {
  id: bigint!
  runtime: String!
  filter_threshold: float8
  tensor_fields: jsonb
  input_schema: String
  output_schema: String
  batch_config: String
  dynamic_batching_config: jsonb
  continuous_batching_config: jsonb
  openai: jsonb
  model: model!
}
"""
Row = dict[str, Any]  # a value of each field, or a function of (info, **arguments) that gives it when it is asked for
Condition = dict[str, Any] | None


class Question(msgspec.Struct, frozen=True, rename={"operation_name": "operationName"}):
    """A request's body."""

    query: str
    variables: dict[str, Any] | None = None
    operation_name: str | None = None


class GraphQL:
    """The handler of /v1/graphql."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def answer(self, exchange: Exchange) -> Reply:
        """POST /v1/graphql: 200 also with errors, as the real one does."""
        question = await exchange.json(Question)
        try:
            import graphql  # noqa: F401
        except ImportError:
            return json_reply({"errors": [{"message": NOT_INSTALLED}]})
        # In a thread, so that polls go on meanwhile.
        return json_reply(await wrap_future(self._registry.executor.submit(self._answer, question)))

    def _answer(self, question: Question) -> dict[str, Any]:
        from graphql import GraphQLError, MiddlewareManager, execute_sync, validate

        budget = Budget()
        try:
            document = parse_bounded(question.query)
            if errors := validate(_schema(), document):
                return {"errors": [error.formatted for error in errors]}
            with closing(queries.connect(self._registry.store.data)) as connection:
                result = execute_sync(
                    _schema(),
                    document,
                    root_value=Rows(self._registry, connection, budget).query_root(),
                    variable_values=question.variables,
                    operation_name=question.operation_name,
                    middleware=MiddlewareManager(budget),
                )
        except GraphQLError as error:
            return {"errors": [error.formatted]}
        except (TooMuchError, ExceededError) as error:
            return {"errors": [{"message": str(error)}]}
        return dict(result.formatted)


@lru_cache(maxsize=1)
def _schema() -> Any:
    from graphql import build_schema

    return build_schema(SCHEMA)


class Rows:
    """The registry as one answer sees it: rows that lead to other rows when these are asked for."""

    def __init__(self, registry: Registry, connection: Connection, budget: Budget) -> None:
        self._registry = registry
        self._connection = connection
        self._budget = budget
        self._now = registry.clock.now()

    def query_root(self) -> Row:
        """Where every query begins."""
        connection = self._connection

        def versions(_: Any, where: Condition = None) -> list[Row]:
            return self._chosen(map(self._version, queries.all_versions(connection)), where)

        def workspaces(_: Any, where: Condition = None) -> list[Row]:
            return self._chosen(map(self._workspace, queries.find_workspaces(connection)), where)

        def default_workspaces(_: Any, where: Condition = None) -> list[Row]:
            return self._chosen(self._default_workspaces(), where)

        return {
            "model": versions,
            "model_by_pk": lambda _, id: _mapped(self._version, queries.find_version(connection, id)),  # noqa: A006
            "models_by_pk": lambda _, id: _mapped(self._model, queries.find_model(connection, id)),  # noqa: A006
            "model_config_by_pk": lambda _, id: self._config_by_pk(id),  # noqa: A006
            "workspace": workspaces,
            "workspace_by_pk": lambda _, id: self._workspace_by_pk(id),  # noqa: A006
            "user_default_workspace": default_workspaces,
        }

    def _default_workspaces(self) -> list[Row]:
        # The account's is the first one; invited users have none.
        first = queries.find_workspaces(self._connection)[0]
        return [{"user_id": self._registry.account.user_id, "workspace": self._workspace(first)}]

    def _workspace_by_pk(self, workspace_id: int) -> Row | None:
        return _mapped(self._workspace, queries.find_workspace(self._connection, workspace_id))

    def _workspace(self, workspace: Any) -> Row:
        workspace_id = workspace["id"]
        return {
            "id": workspace_id,
            "name": workspace["name"],
            "archived": False,
            "created_at": timestamp(workspace["created_at"]),
            "created_by": workspace["created_by"],
            "users": lambda _: [dict(user) for user in queries.workspace_users(self._connection).get(workspace_id, [])],
            "models": partial(self._models_of, workspace_id),
            "pipelines": [],
        }

    def _models_of(self, workspace_id: int, _: Any, order_by: list[dict[str, str]] | None = None) -> list[Row]:
        models = [self._model(model) for model in queries.find_models(self._connection, workspace_id)]
        for order in reversed(order_by or []):
            for field, direction in order.items():
                self._budget.spend()
                models.sort(key=itemgetter(field), reverse=direction == "desc")
        return models

    def _model(self, model: Any) -> Row:
        return {
            "id": model["id"],
            "name": model["name"],
            "owner_id": "",
            "workspace_id": model["workspace_id"],
            "created_at": timestamp(model["created_at"]),
            "updated_at": timestamp(model["updated_at"]),
            "workspace": lambda _: self._workspace_by_pk(model["workspace_id"]),
            "models": lambda _: list(map(self._version, queries.versions_of_model(self._connection, model["id"]))),
        }

    def _version(self, version: Version) -> Row:
        shown = version_answer(version, self._now)
        told, file = shown["model_version"], shown["model_version"]["file_info"]
        conversion = msgspec.json.decode(version.conversion)
        return {
            "id": version.id,
            "model_id": version.name,
            "model_version": version.uuid,
            "models_pk_id": version.models_pk_id,
            "owner_id": version.owner_id,
            "sha": file["sha"],
            "status": told.get("status"),
            "error_summary": told["error_summary"],
            "file_name": version.file_name,
            "file_size": version.size,
            "image_path": told["image_path"],
            "visibility": version.visibility,
            "task_id": version.task_id,
            "conversion": lambda _, path=None: conversion if path is None else conversion.get(path),
            "created_by": version.created_by,
            "created_at": told["created_at"],
            "updated_at": told["created_at"],
            "created_on_version": told["created_on_version"],
            "model": lambda _: _mapped(self._model, queries.find_model(self._connection, version.models_pk_id)),
            "model_tags": [],
            "model_configs": lambda _: [self._config(version, shown["config"])],
        }

    def _config(self, version: Version, config: Row) -> Row:
        return config | {"model": lambda _: self._version(version)}

    def _config_by_pk(self, config_id: int) -> Row | None:
        for version in queries.all_versions(self._connection):
            self._budget.spend()
            if version.config_id == config_id:
                return self._config(version, version_answer(version, self._now)["config"])
        return None

    def _chosen(self, rows: Iterable[Row], where: Condition) -> list[Row]:
        return [row for row in rows if self._fits(row, where or {})]

    def _fits(self, row: Row, where: dict[str, Any]) -> bool:
        self._budget.spend()
        for field, wanted in where.items():
            if field == "_and":
                if not all(self._fits(row, condition) for condition in wanted):
                    return False
                continue
            value = row[field](None) if callable(row[field]) else row[field]
            if not (self._fits(value, wanted) if isinstance(value, dict) else value == wanted.get("_eq", value)):
                return False
        return True


def _mapped(shown: Callable[[Any], Row], record: Any) -> Row | None:
    return None if record is None else shown(record)
