"""The pages that the sandbox shows to people: HTML that loads nothing from elsewhere and stands in no frame."""

from html import escape

from bulkload.sandbox.door.exchange import Reply

NO_CONTENT_OF_OTHERS = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"


def page(title: str, body: str, *, status: int = 200, policy: str = "form-action 'self'", head: str = "") -> Reply:
    """A page. `body` and `head` are HTML, `title` is text; `policy` is what it may do besides nothing."""
    text = f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title>{head}{body}\n"
    return asset(text.encode(), "text/html; charset=utf-8", status=status, policy=policy)


def asset(content: bytes, content_type: str, *, status: int = 200, policy: str = "") -> Reply:
    """A page, or a file that belongs to one."""
    headers = {
        "Content-Security-Policy": f"{NO_CONTENT_OF_OTHERS}; {policy}".removesuffix("; "),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
    return Reply(status, content, content_type, headers)
