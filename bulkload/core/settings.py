"""What a run is told: the flags, turned into values. Nothing below ``cli`` reads the environment."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from bulkload.core.bounds import FailureLimit
from bulkload.core.polling import PollInterval


class Route(StrEnum):
    """Which upload call a model takes."""

    # onnx and tensorflow by models/upload, as the vendor's SDK does; all others by models/upload_and_convert.
    AUTO = "auto"
    # All by models/upload_and_convert, as the guide does.
    CONVERT = "convert"


class OnExisting(StrEnum):
    """What an equal version already in the registry means."""

    SKIP = "skip"
    UPLOAD = "upload"


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """Where the bearer token comes from: exactly one of the three. Never shown."""

    token: str | None = field(default=None, repr=False)
    # Read anew whenever the registry refuses the token.
    token_file: Path | None = None
    # A shell command whose standard output is the token; run anew whenever the registry refuses the token.
    token_command: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """One run. Durations are seconds, rates units a second."""

    # A path, or "-" for JSON lines on standard input.
    manifest: str
    endpoint: str
    ledger: Path
    credentials: Credentials = Credentials()

    # For entries that name none: all digits an id, else a name.
    workspace: str | None = None
    create_workspace: bool = False
    # Entries without a workspace go to the account's default one (a sandbox has one).
    default_workspace: bool = False
    # field -> value, stronger than the manifest's defaults, weaker than its rows.
    overrides: dict[str, str] = field(default_factory=dict)

    concurrency: int = 16
    upload_rate: float | None = None
    # None: a version's first poll keeps pace with the uploads, all further ones share AUTO_POLL_RATE.
    poll_rate: float | None = None
    bandwidth: float | None = None

    # Versions that may be converting on the registry at once; None: no limit.
    max_converting: int | None = None
    max_failures: FailureLimit | None = None

    poll_interval: PollInterval = field(default_factory=PollInterval)
    wait: bool = True
    wait_timeout: float = 1800.0
    answer_timeout: float = 1200.0
    settle: float = 30.0
    route: Route = Route.AUTO
    on_existing: OnExisting = OnExisting.SKIP
    retry_failed: bool = False
    # Send what cannot be decided again, at the risk of a second version: a person's way out.
    resend_in_doubt: bool = False
