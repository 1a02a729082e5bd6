"""Uploads all models of a folder with requests, 32 threads, and asks for each: python with_requests.py URL FOLDER.

As the vendor's guide shows it, but with threads, a session for each of them, and the answers looked at.
"""

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

THREADS = 32
TOKEN = {"Authorization": "Bearer a-token"}
local = threading.local()


def publish(endpoint: str, file: Path) -> None:
    """One upload and one poll."""
    if not hasattr(local, "session"):
        local.session = requests.Session()
    conversion = {"framework": "onnx", "python_version": "3.8", "requirements": []}
    metadata = {"name": file.stem, "visibility": "private", "workspace_id": 1, "conversion": conversion}
    parts = {
        "metadata": (None, json.dumps(metadata), "application/json"),
        "file": (file.name, file.read_bytes(), "application/octet-stream"),
    }
    answer = local.session.post(f"{endpoint}/v1/api/models/upload", files=parts, headers=TOKEN, timeout=60)
    answer.raise_for_status()
    version_id = answer.json()["insert_models"]["returning"][0]["models"][0]["id"]
    asked = {"model_version_id": version_id}
    answer = local.session.post(f"{endpoint}/v1/api/models/get_version_by_id", json=asked, headers=TOKEN, timeout=60)
    if answer.json()["model_version"]["model_version"]["status"] != "ready":
        raise SystemExit(f"version {version_id} is not ready")


if __name__ == "__main__":
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(lambda file: publish(sys.argv[1], file), sorted(Path(sys.argv[2]).glob("*.onnx"))):
            pass
