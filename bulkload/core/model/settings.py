"""What a run is told: the flags, turned into values. Nothing below ``cli`` reads the environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from bulkload.core.limits.pauses import Pauses
from bulkload.core.limits.run_limits import FailureLimit
from bulkload.core.model.errors import UsageError
from bulkload.core.polls.schedule import PollInterval


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


# The client that the vendor's SDK uses: public, it has no secret.
PUBLIC_CLIENT = "sdk-client"


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """How to get in: one of the three ways to a token, or a user with a password or with a stored login. Never shown.

    Files are read anew whenever what they hold is needed again.
    """

    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    # A shell command whose standard output is the token.
    token_command: str | None = field(default=None, repr=False)

    # A user of Keycloak, with the one or the other.
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    password_file: Path | None = None
    # The client to log in by. One with a secret is confidential and sends it as HTTP Basic.
    client_id: str = PUBLIC_CLIENT
    client_secret: str | None = field(default=None, repr=False)
    client_secret_file: Path | None = None
    # Keycloak, or the whole of its realm; None: realm master on the endpoint's own host.
    auth_url: str | None = None

    # Where `bulkload login` keeps tokens; of several users ``username`` says which.
    logins: Path | None = None
    # The token cache of the vendor's SDK, which is only read.
    sdk_cache: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    """How the registry's host is reached."""

    # Certificates of authorities, PEM, in place of the system's.
    ca_file: Path | None = None
    # This side's own certificate, PEM, and its key where that is another file.
    client_cert: Path | None = None
    client_key: Path | None = None
    # Scheme ("http", "https" or "all") -> proxy, and "no" -> hosts without one: as ``urllib.request.getproxies`` says
    # it. They may hold a password.
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    # Tokens and passwords may go to another machine without encryption.
    insecure_http: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """One run. Durations are seconds, rates units a second."""

    # A path, or "-" for JSON lines on standard input.
    manifest: str
    endpoint: str
    ledger: Path
    credentials: Credentials = Credentials()
    connection: Connection = field(default_factory=Connection)

    # For entries that name none: all digits an id, else a name.
    workspace: str | None = None
    create_workspace: bool = False
    # Entries without a workspace go to the account's default one (a sandbox has one).
    default_workspace: bool = False
    # field -> value, stronger than the manifest's defaults, weaker than its rows.
    overrides: dict[str, str] = field(default_factory=dict)
    # Nothing outside this folder is read for the manifest, links resolved; None: whatever it names.
    root: Path | None = None

    concurrency: int = 16
    upload_rate: float | None = None
    # None: a version's first poll keeps pace with the uploads, all further ones share AUTO_POLL_RATE.
    poll_rate: float | None = None
    # Listings, and requests for tokens.
    list_rate: float | None = None
    token_rate: float | None = None
    bandwidth: float | None = None

    # Versions that may be converting on the registry at once; None: no limit.
    max_converting: int | None = None
    max_failures: FailureLimit | None = None
    # Begin nothing that would not end in time; None: no limit.
    max_duration: float | None = None
    # How much of it was over when the run was called: a command counts from its own start.
    spent: float = 0.0
    # How long a registry that takes nothing is waited for before the run gives up.
    patience: float = 600.0
    # What nobody sets on the command line.
    pauses: Pauses = field(default_factory=Pauses)

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

    def __post_init__(self) -> None:
        """Raises ``UsageError`` for what would wait for ever."""
        if self.max_converting is not None and not self.wait:
            raise UsageError("--max-converting and --no-wait: who does not poll cannot know when a conversion ends")
