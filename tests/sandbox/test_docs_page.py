"""/v1/api/docs is Swagger UI: from this machine alone, with the registry's endpoints, and it can try them."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from bulkload.sandbox.api.docs import swagger_ui
from bulkload.sandbox.door.paths import DOCS, DOCS_FILES, OPENAPI
from tests.sandbox.browser import PROGRAM, opened

pytestmark = pytest.mark.anyio


@pytest.fixture
def installed() -> None:
    """Swagger UI is an extra: where it is missing these promises are not made."""
    if swagger_ui() is None:
        pytest.skip("Swagger UI is not installed")


async def test_the_page_loads_nothing_from_elsewhere(start: Any, installed: None) -> None:
    """Each file that it names is served, without a token, under a policy that lets no other in."""
    async with start() as caller:
        base = caller.sandbox.endpoint
        async with caller.session.get(base + DOCS, headers={"Authorization": ""}) as answer:
            assert (answer.status, answer.content_type) == (200, "text/html")
            policy = answer.headers["Content-Security-Policy"]
            page = await answer.text()
        named = {f"/v1/api/{name}" for name in re.findall(r'(?:src|href)="([^"]+)"', page)}
        assert named == DOCS_FILES
        assert not re.search(r"https?:|@import|url\(", page)
        for path in named | {OPENAPI}:
            async with caller.session.get(base + path, headers={"Authorization": ""}) as answer:
                assert answer.status == 200, path
                assert answer.headers["Content-Type"].startswith(
                    {"css": "text/css", "js": "text/javascript", "png": "image/png", "json": "application/json"}[
                        path.rpartition(".")[2]
                    ]
                )
                if path.endswith(".css"):
                    assert set(re.findall(r"url\(\s*[\"']?(\w+):", await answer.text())) <= {"data"}
    rules = dict(rule.strip().partition(" ")[::2] for rule in policy.split(";"))
    assert rules["default-src"] == rules["frame-ancestors"] == rules["base-uri"] == "'none'"
    assert rules["script-src"] == rules["connect-src"] == "'self'"


@pytest.mark.parametrize(
    "path", ["x.js", "../openapi.json", "..%2fpaths.py", "%2e%2e/x", "swagger-ui.css/", "index.html"]
)
async def test_no_other_file_is_served(start: Any, path: str) -> None:
    async with start() as caller, caller.session.get(f"{caller.sandbox.endpoint}{DOCS}/{path}") as answer:
        assert answer.status in {404, 405}


async def test_without_swagger_ui_the_page_says_what_to_install(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line; the document is there all the same."""
    monkeypatch.setitem(sys.modules, "swagger_ui_bundle", None)
    async with start() as caller:
        async with caller.session.get(caller.sandbox.endpoint + DOCS) as answer:
            assert answer.status == 200
            assert "pip install 'bulkload[sandbox]'" in await answer.text()
        for path in DOCS_FILES:
            async with caller.session.get(caller.sandbox.endpoint + path) as answer:
                assert (answer.status, (await answer.json())["code"]) == (404, 404)


AUTHORIZE = """
(await one(".btn.authorize")).click();
type(await one(".auth-container input"), %r);
(await one(".auth-btn-wrapper .authorize")).click();
(await one(".auth-btn-wrapper .btn-done")).click();
"""
TRY = """
const block = await one("[id$=post_v1_api_workspaces_list]");
if (!block.querySelector(".execute")) block.querySelector(".opblock-summary-control").click();
type(await one("[id$=post_v1_api_workspaces_list] textarea"), "{}");
(await one("[id$=post_v1_api_workspaces_list] .execute")).click();
const status = () => document.querySelector(".live-responses-table .response .response-col_status")?.textContent || "";
await until(() => status().startsWith(%r));
return document.querySelector(".live-responses-table .response .response-col_description").textContent;
"""


@pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed (Debian: apt-get install chromium)")
async def test_try_it_out_in_a_browser(start: Any, installed: None, tmp_path: Path) -> None:
    """Without a token 401; with it, given to *Authorize*, the registry's answer. Nothing is loaded from elsewhere."""
    async with start() as caller, opened(caller.sandbox.endpoint + DOCS, tmp_path / "browser") as page:
        await page.do('await one("[id$=post_v1_api_workspaces_list] .opblock-summary-control");')
        shown = await page.do('return [...document.querySelectorAll("[data-path]")].map((one) => one.dataset.path);')
        assert {"/v1/api/models/upload_and_convert", "/v1/api/models/list", "/v1/graphql"} <= set(shown)
        assert page.errors == []
        assert "Jwt is missing" in await page.do(TRY % "401")
        assert all("401" in error for error in page.errors)
        page.errors.clear()
        await page.do(AUTHORIZE % caller.sandbox.token)
        assert "Default Workspace" in await page.do(TRY % "200")
        assert page.errors == []
        assert all(address.startswith((caller.sandbox.endpoint, "data:")) for address in page.loaded), page.loaded
        assert len(page.loaded) > 5


@pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed (Debian: apt-get install chromium)")
async def test_a_page_of_another_origin_cannot_read_in_a_browser(start: Any, tmp_path: Path) -> None:
    """Neither what needs a token, nor what needs none."""
    async with start() as caller, start(data=tmp_path / "other") as other:
        asking = f"return (await fetch('{caller.sandbox.endpoint}/v1/api/config')).status"
        address = f"{other.sandbox.endpoint}/v1/api/config"
        async with opened(address, tmp_path / "browser") as page:
            assert await page.do(f"try {{ {asking} }} catch {{ return 0 }}") == 0
            assert await page.do(f"return (await fetch('{address}')).status") == 200
