"""What a run is told: what cannot be carried out is refused before there is a run."""

from pathlib import Path
from typing import Any

import pytest

from bulkload.core.model.errors import UsageError
from bulkload.core.model.settings import Settings


def test_places_for_conversions_need_somebody_who_polls() -> None:
    """Nobody else would give them back: from a program, too, and not only on the command line."""
    words: dict[str, Any] = {"manifest": "models.jsonl", "endpoint": "http://127.0.0.1:1", "ledger": Path("ledger.db")}
    Settings(**words, max_converting=1)
    Settings(**words, wait=False)
    with pytest.raises(UsageError, match="--max-converting and --no-wait"):
        Settings(**words, max_converting=1, wait=False)
