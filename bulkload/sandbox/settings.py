"""What a sandbox can be told. Easy to build from the words of a command line."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from bulkload.core.bounds import REQUEST_BODY_SECONDS, REQUEST_HEAD_SECONDS, REQUEST_PAUSE_SECONDS
from bulkload.sandbox.accounts.keycloak import Lives
from bulkload.sandbox.door.hosts import check_name
from bulkload.sandbox.faults import FaultSpec, parse_fault
from bulkload.sandbox.limits import Limit, parse_limit

HOST = "127.0.0.1"  # unless told otherwise: the sandbox has one account and no TLS


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSettings:
    """How a sandbox behaves. Raises ValueError with one clear message when a value cannot be.

    `data`: folder of everything it keeps, created when missing. `host`: the IP address that it listens on; where that
    is none of the loopback, whoever reaches it needs the token, and others can read along. `allowed_hosts`: names that
    requests may call it by, besides addresses and `localhost`. `port`: 0 takes any free one. `time_scale`: factor on
    all conversion times; 0 makes every version terminal at once. `converters`: conversions at a time. `limits`: specs
    such as `upload=20/s`. `faults`: specs such as `upload:lost-answer%20`. `seed`: of the faults' chances.
    `request_log`: None is `requests.jsonl` in the data folder. Lifetimes and the other fields of `Lives` concern what
    Keycloak's endpoints give out; the account's own token never expires.

    How long a slow client is waited for: `head_seconds` for a request's head, on a new or idle connection;
    `body_seconds` for a body that is no upload's; `pause_seconds` while an upload, or the taking of an answer, rests.

    What nobody saw of the real registry, or saw differ (fact sheet section 7, traps 10 and 21):
    `stuck_native_via_convert` leaves onnx and tensorflow sent to upload_and_convert in `attempting_load_container` for
    ever; `unknown_version_status` is the code for a version id that is not there; `duplicate_workspace_status` the one
    for a workspace name that is taken; `strict` refuses what only older releases let pass (a custom archive without
    requirements.txt).
    """

    data: Path
    host: str = HOST
    allowed_hosts: tuple[str, ...] = ()
    port: int = 0
    time_scale: float = 1.0
    converters: int = 2
    limits: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    seed: int = 0
    request_log: Path | None = None
    token_seconds: float = 3600.0
    refresh_token_seconds: float = 1800.0
    refresh_once: bool = False
    device_code_seconds: float = 600.0
    device_interval_seconds: float = 5.0
    device_approval_seconds: float | None = None
    stuck_native_via_convert: bool = False
    unknown_version_status: int = 404
    duplicate_workspace_status: int = 500
    strict: bool = True
    head_seconds: float = REQUEST_HEAD_SECONDS
    body_seconds: float = REQUEST_BODY_SECONDS
    pause_seconds: float = REQUEST_PAUSE_SECONDS

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port {self.port}: expected 0 (any free one) to 65535")
        if not 0 <= self.time_scale < float("inf"):
            raise ValueError(f"time scale {self.time_scale}: expected a number from 0, 1 is the pace of the real one")
        if self.converters < 1:
            raise ValueError(f"converters {self.converters}: expected at least 1")
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            raise ValueError(f"host {self.host!r}: expected an IP address such as {HOST} or 0.0.0.0") from None
        for name in self.allowed_hosts:
            check_name(name)
        for name, seconds in (
            ("token lifetime", self.token_seconds),
            ("refresh token lifetime", self.refresh_token_seconds),
            ("device code lifetime", self.device_code_seconds),
            ("device code interval", self.device_interval_seconds),
            ("device approval", self.device_approval_seconds or 0.0),
        ):
            if not 0 <= seconds < float("inf"):
                raise ValueError(f"{name} {seconds}: expected a number of seconds from 0")
        self.parsed_limits()
        self.parsed_faults()

    @property
    def request_log_path(self) -> Path:
        """Where the request log is."""
        return self.request_log or self.data / "requests.jsonl"

    def lives(self) -> Lives:
        """What Keycloak's endpoints go by."""
        return Lives(
            token=self.token_seconds,
            refresh_token=self.refresh_token_seconds,
            device_code=self.device_code_seconds,
            device_interval=self.device_interval_seconds,
            device_approval=self.device_approval_seconds,
            refresh_once=self.refresh_once,
        )

    def parsed_limits(self) -> tuple[Limit, ...]:
        """The limits as records. Raises ValueError."""
        return tuple(parse_limit(text) for text in self.limits)

    def parsed_faults(self) -> tuple[FaultSpec, ...]:
        """The faults as records. Raises ValueError."""
        return tuple(parse_fault(text) for text in self.faults)
