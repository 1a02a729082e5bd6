"""Uploads all models of a folder with the vendor's SDK, one after another: python with_sdk.py URL FOLDER.

For ONNX, upload_model uploads, asks get_version_by_id once and returns: one upload and one poll, the least that it
does for any framework. The version's status() would ask twice more, so it is left out.
"""

import sys
from pathlib import Path

import wallaroo
from wallaroo.framework import Framework

if __name__ == "__main__":
    # The SDK's own way in for tests: no Keycloak.
    client = wallaroo.Client(api_endpoint=sys.argv[1], auth_type="test_auth")
    for file in sorted(Path(sys.argv[2]).glob("*.onnx")):
        client.upload_model(file.stem, file, framework=Framework.ONNX)
