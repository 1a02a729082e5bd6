"""By which call a model is sent, and whether the registry then converts it: the one answer to both."""

from bulkload.core.contract.frameworks import FRAMEWORKS
from bulkload.core.model.settings import Route

# What it takes is ready at once.
NATIVE_CALL = "models/upload"
CONVERT_CALL = "models/upload_and_convert"


def upload_call(framework: str, route: Route) -> str:
    """The call that a model of this framework takes by this route."""
    return NATIVE_CALL if route is Route.AUTO and FRAMEWORKS[framework].native_route else CONVERT_CALL


def converts(call: str | None) -> bool:
    """Whether the registry converts what was sent by ``call``.

    None: an earlier run sent it, or somebody else. Nobody knows how, so it is taken to be converting until the registry
    says something else, which it is asked at once.
    """
    return call != NATIVE_CALL
