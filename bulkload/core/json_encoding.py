"""Objects as JSON, whatever texts they hold."""

import json

import msgspec


def encode_json(found: object) -> bytes:
    """In one line of UTF-8; a lone surrogate, as in the name of a file that is no text, is an escape."""
    try:
        return msgspec.json.encode(found)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(found)).encode()
