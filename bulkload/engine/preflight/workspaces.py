"""A workspace by its name, made where there is none. Names are unique, so whoever is second finds it."""

from bulkload.core.model.errors import UsageError
from bulkload.core.model.records import Workspace
from bulkload.core.verdicts import CallFailed, Failure
from bulkload.registry.interface import Registry

# A name that breaks a rule of the registry.
_REFUSES_NAME = frozenset({400, 404, 409, 422})


async def found_or_made(registry: Registry, name: str) -> tuple[Workspace, bool]:
    """The workspace of that name, and whether it was made just now: one try, which may be repeated without harm.

    Raises ``UsageError`` for a name that is refused, and ``CallFailed``.
    """
    there = await _find(registry, name)
    if there is not None:
        return there, False
    try:
        return Workspace(workspace_id=await registry.create_workspace(name), name=name), True
    except CallFailed as failed:
        # Somebody else was quicker, or it was made and the answer is lost: look again.
        there = await _find(registry, name)
        if there is not None:
            return there, False
        if failed.failure.refusal in _REFUSES_NAME or _says_taken(failed.failure):
            raise UsageError(_name_refused(name, failed.failure)) from None
        raise


async def _find(registry: Registry, name: str) -> Workspace | None:
    return next((each for each in await registry.workspaces() if each.name == name), None)


def _says_taken(failure: Failure) -> bool:
    """Whether the database complains of a name that is taken, as a 500 with its words would."""
    words = failure.message.lower()
    return failure.refusal is not None and ("duplicate" in words or "already exists" in words)


def _name_refused(name: str, failure: Failure) -> str:
    if failure.status == 409 or _says_taken(failure):
        return (
            f"the workspace name {name!r} is taken by one that this account does not see, or that is archived"
            f" ({failure}); choose another one"
        )
    return f"the registry refuses the workspace name {name!r} ({failure}); choose another one"
