"""Where things are, as on the real registry. `{...}` leaves a part of a path open."""

API = "/v1/api"
DOCS = f"{API}/docs"
OPENAPI = f"{DOCS}/openapi.json"
GRAPHQL = "/v1/graphql"

REALM = "/auth/realms/master"
TOKEN = f"{REALM}/protocol/openid-connect/token"
DEVICE = f"{REALM}/protocol/openid-connect/auth/device"
LOGOUT = f"{REALM}/protocol/openid-connect/logout"
DEVICE_PAGE = f"{REALM}/device"
USERS = "/auth/admin/realms/master/users"
USER = f"{USERS}/{{user_id}}"
PASSWORD = f"{USER}/reset-password"

# What the page of the docs loads.
DOCS_FILES = frozenset(
    f"{DOCS}/{name}" for name in ("start.js", "swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png")
)
WITHOUT_TOKEN = frozenset({f"{API}/config", DOCS, OPENAPI, TOKEN, DEVICE, LOGOUT, DEVICE_PAGE})


def known_path(path: str) -> tuple[str, dict[str, str]]:
    """A request's path as it stands above, and what stands in its open parts."""
    if not path.startswith(f"{USERS}/"):
        return path, {}
    user_id, slash, rest = path.removeprefix(f"{USERS}/").partition("/")
    return f"{USER}{slash}{rest}", {"user_id": user_id}
