"""`/v1/api/docs`: the OpenAPI document, and Swagger UI to read it and to try it out. Nothing is loaded from elsewhere.

Swagger UI comes with the extra `bulkload[sandbox]`; without it the page says so.
"""

from pathlib import Path

from bulkload.sandbox.api.metadata import RefusalError
from bulkload.sandbox.api.openapi import openapi_document
from bulkload.sandbox.api.pages import asset, page
from bulkload.sandbox.door.exchange import Exchange, Reply

NOT_INSTALLED = "This page is shown where Swagger UI is installed: pip install 'bulkload[sandbox]'"
# Swagger UI sets styles of its own elements by attribute.
POLICY = (
    "script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; form-action 'none'"
)
HEAD = '<link rel=stylesheet href="docs/swagger-ui.css"><link rel=icon href="docs/favicon-32x32.png">'
BODY = '<div id=docs></div><script src="docs/swagger-ui-bundle.js"></script><script src="docs/start.js"></script>'
# No validator elsewhere is asked about the document; no other document is shown, whatever the address says.
START = b"""\
"use strict";
SwaggerUIBundle({
  url: "docs/openapi.json",
  dom_id: "#docs",
  validatorUrl: null,
  queryConfigEnabled: false,
  tryItOutEnabled: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
});
"""
CONTENT_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".png": "image/png"}


async def docs_page(_: Exchange) -> Reply:
    """GET /v1/api/docs."""
    if swagger_ui() is None:
        return page("bulkload sandbox", f'<p>{NOT_INSTALLED}</p><p><a href="docs/openapi.json">The document</a></p>')
    return page("bulkload sandbox: API", BODY, policy=POLICY, head=HEAD)


async def docs_document(_: Exchange) -> Reply:
    """GET /v1/api/docs/openapi.json."""
    return Reply(200, openapi_document())


async def docs_file(exchange: Exchange) -> Reply:
    """GET of one of the files that the page loads; the document, which is about the registry, does not name them."""
    name = exchange.request.path.rpartition("/")[2]
    folder = swagger_ui()
    if folder is None:
        raise RefusalError(404, f"Not found: {NOT_INSTALLED}")
    return asset(START if name == "start.js" else (folder / name).read_bytes(), CONTENT_TYPES[Path(name).suffix])


def swagger_ui() -> Path | None:
    """The folder of Swagger UI's files; None where the extra is not installed."""
    try:
        from swagger_ui_bundle import swagger_ui_path
    except ImportError:
        return None
    return Path(swagger_ui_path)
