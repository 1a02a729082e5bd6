"""The upload endpoints: a body that streams to the disk, checks, one insert, one id."""

import errno
from asyncio import wrap_future
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import anyio.lowlevel
import msgspec

from bulkload.core.bounds import LARGEST_FORM_WASTE_BYTES, LARGEST_METADATA_BYTES, MOST_FORM_PARTS
from bulkload.sandbox.api.answers import insert_answer
from bulkload.sandbox.api.metadata import (
    NAME_PATTERN,
    VISIBILITIES,
    RefusalError,
    UploadMetadata,
    bad_request,
    read_metadata,
)
from bulkload.sandbox.door.decoding import Id
from bulkload.sandbox.door.exchange import Delivery, Exchange, InterruptedExchangeError, Reply, json_reply
from bulkload.sandbox.door.incoming import IncomingFile, free_bytes
from bulkload.sandbox.door.multipart import MultipartError, MultipartParser, PartBegin, PartData, boundary_of
from bulkload.sandbox.judge.content import Verdict, inspect
from bulkload.sandbox.judge.conversion import (
    ERROR,
    READY,
    READY_AT_ONCE_RUNTIMES,
    Course,
    Timeline,
    course_of,
    phases_of,
    schedule,
)
from bulkload.sandbox.registry import Registry
from bulkload.sandbox.store.queries import find_workspace, newest_version_id
from bulkload.sandbox.store.records import NewVersion, StoredFile

MAX_FILE_NAME_CHARACTERS = 4096  # as long as paths can be: clients do send them
NO_ROOM_LEFT = "Insufficient Storage: no space left for the model"
SLOW_SECONDS = 1.0
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
NEVER_TERMINAL_BY_CONVERSION = frozenset({"onnx", "tensorflow"})


@dataclass(frozen=True, slots=True)
class Form:
    """The parts of an upload, but for the file's bytes."""

    metadata: bytes
    file_name: str


@dataclass(frozen=True, slots=True)
class Arrival:
    """An upload that was checked and is on the disk, but in no table yet."""

    metadata: UploadMetadata
    file: StoredFile
    verdict: Verdict
    converted: bool
    traits: dict[str, float]


Check = Callable[[Form], UploadMetadata]


class Uploads:
    """Handlers of models/upload_and_convert, models/upload and models/upload_stream."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def convert(self, exchange: Exchange) -> Reply:
        """POST models/upload_and_convert: 202, and a place in the conversion queue."""
        return await self._receive(exchange, lambda incoming: self._form_arrival(exchange, incoming, converted=True))

    async def plain(self, exchange: Exchange) -> Reply:
        """POST models/upload: 200, ready at once."""
        return await self._receive(exchange, lambda incoming: self._form_arrival(exchange, incoming, converted=False))

    async def raw(self, exchange: Exchange) -> Reply:
        """POST models/upload_stream, the legacy route: a raw body, the rest in the query; no framework, no schema."""
        query = exchange.request.query
        visibility = query.get("visibility", "private")
        try:
            metadata = UploadMetadata(
                name=query["name"],
                visibility=visibility,
                workspace_id=msgspec.convert(query["workspace_id"], Id, strict=False),
                framework="onnx",
                conversion=b'{"requirements":[],"framework":"onnx","framework_config":null}',
                input_schema=None,
                output_schema=None,
                file_name=query["filename"],
            )
        except (KeyError, msgspec.ValidationError) as error:
            raise bad_request(f"missing or malformed query parameter: {error}") from None
        if NAME_PATTERN.fullmatch(metadata.name) is None:
            raise bad_request(f"invalid model name {metadata.name!r}")
        if visibility not in VISIBILITIES:
            raise bad_request(f"unknown visibility {visibility!r}, expected one of {', '.join(VISIBILITIES)}")
        check_file_name(metadata.file_name)
        self._check_workspace(metadata)
        return await self._receive(exchange, lambda incoming: self._raw_arrival(exchange, metadata, incoming))

    async def _raw_arrival(self, exchange: Exchange, metadata: UploadMetadata, incoming: IncomingFile) -> Arrival:
        async for piece in exchange.pieces():
            await incoming.write(piece)
        return Arrival(metadata, await incoming.finish(), Verdict(), converted=False, traits=exchange.traits)

    async def _form_arrival(self, exchange: Exchange, incoming: IncomingFile, *, converted: bool) -> Arrival:
        def check(form: Form) -> UploadMetadata:
            metadata = read_metadata(form.metadata, form.file_name, schemas_needed=converted)
            self._check_workspace(metadata)
            return metadata

        metadata = await receive_form(exchange, incoming, check)
        file = await incoming.finish()
        # The fault is a registry that holds other bytes, not a model that these bytes have broken.
        judged = converted and not exchange.meets("wrong-digest")
        verdict = await self._inspect(incoming, metadata, judged=judged)
        return Arrival(metadata, file, verdict, converted, exchange.traits)

    async def _receive(self, exchange: Exchange, receive: Callable[[IncomingFile], Awaitable[Arrival]]) -> Reply:
        self._check_room(exchange)
        incoming = self._incoming(exchange)
        accepted = False
        try:
            arrival = await receive(incoming)
            accepted = True
        except OSError as error:
            if error.errno in NO_ROOM:
                raise RefusalError(507, NO_ROOM_LEFT) from error
            raise
        finally:
            if not accepted:
                await incoming.discard()
        return await self._accept(exchange, arrival)

    def _incoming(self, exchange: Exchange) -> IncomingFile:
        uuid, path = self._registry.store.incoming_path()
        return IncomingFile(uuid, path, self._registry.executor, spoil=exchange.meets("wrong-digest"))

    def _check_room(self, exchange: Exchange) -> None:
        # Said at once: a body that cannot be kept need not be sent to its end.
        if free_bytes(self._registry.store.data) < (exchange.request.content_length or 0):
            raise RefusalError(507, NO_ROOM_LEFT)

    def _check_workspace(self, metadata: UploadMetadata) -> None:
        if find_workspace(self._registry.store.connection, metadata.workspace_id) is None:
            raise bad_request(f"workspace {metadata.workspace_id} does not exist")

    async def _inspect(self, incoming: IncomingFile, metadata: UploadMetadata, *, judged: bool) -> Verdict:
        schemas = metadata.input_schema is not None or metadata.output_schema is not None
        if not schemas and not judged:
            return Verdict()  # nothing to look at: no way to a thread and back
        strict = self._registry.settings.strict
        work = self._registry.executor.submit(inspect, incoming.path, metadata, strict=strict, judged=judged)
        return await wrap_future(work)

    async def _accept(self, exchange: Exchange, arrival: Arrival) -> Reply:
        if exchange.fault is not None and exchange.meets("late"):
            self._land_later(arrival, self._registry.plan.landing_delay_seconds(exchange.fault))
            raise InterruptedExchangeError(Delivery.DROP)
        models_pk_id, exchange.version_id = self._land(arrival)
        if exchange.fault is not None and exchange.meets("slow"):
            await self._registry.wait(exchange.fault.number(SLOW_SECONDS))
        else:
            await anyio.lowlevel.checkpoint()
        # The real insert answers with the newest version of this model, which is somebody else's when two uploads
        # of one model race (fact sheet 1.1): so the id is looked up after the insert, not taken from it.
        newest = newest_version_id(self._registry.store.connection, models_pk_id)
        return json_reply(insert_answer(newest or exchange.version_id), 202 if arrival.converted else 200)

    def _land_later(self, arrival: Arrival, seconds: float) -> None:
        async def land() -> None:
            self._land(arrival)

        self._registry.later(seconds, land)

    def _land(self, arrival: Arrival) -> tuple[int, int]:
        account = self._registry.account
        version = self._new_version(arrival, self._registry.clock.now())
        return self._registry.store.add_version(version, owner=account.email, owner_id=account.user_id)

    def _new_version(self, arrival: Arrival, now: float) -> NewVersion:
        course, timeline = self._course(arrival, now)
        ended = timeline.finished_at or now
        logs = arrival.verdict.logs if arrival.converted else ()
        return NewVersion(
            metadata=arrival.metadata,
            file=arrival.file,
            created_at=now,
            task_id=str(uuid4()) if arrival.converted else None,
            timeline=timeline,
            course=course,
            error_summary=arrival.verdict.error_summary if timeline.outcome == ERROR else None,
            logs=tuple(log_line(ended, number, *line) for number, line in enumerate(logs)),
            traits=arrival.traits,
        )

    def _course(self, arrival: Arrival, now: float) -> tuple[Course, Timeline]:
        framework = arrival.metadata.framework
        if not arrival.converted:
            runtime = READY_AT_ONCE_RUNTIMES.get(framework, "flight")
            return Course((), runtime, runtime, contained=False), Timeline((), READY)
        settings, course = self._registry.settings, course_of(framework)
        phases = phases_of(course, failed=not arrival.verdict.ok)
        seconds = sum(phase_seconds for _, phase_seconds in phases) * settings.time_scale
        start = self._registry.queue.enter(now, seconds)
        outcome = READY if arrival.verdict.ok else ERROR
        if settings.stuck_native_via_convert and framework in NEVER_TERMINAL_BY_CONVERSION:
            return course, schedule(phases, start=start, time_scale=settings.time_scale, outcome=None)
        return course, schedule(phases, start=start, time_scale=settings.time_scale, outcome=outcome)


class FormReader:
    """Takes the multipart body as it arrives, the file's bytes into `incoming`; the parts come in either order.

    `check` makes metadata of a form or raises RefusalError. It is asked as soon as the form is known: where the
    metadata come first, the file of a refused upload never touches the disk. The body is read to its end all the same.
    """

    def __init__(self, content_type: str, incoming: IncomingFile, check: Check) -> None:
        self._parser = MultipartParser(boundary_of(content_type))
        self._incoming = incoming
        self._check = check
        self._checked: UploadMetadata | RefusalError | None = None
        self._metadata = bytearray()
        self._file_name: str | None = None
        self._seen: list[str] = []
        self._waste_bytes = 0

    async def feed(self, piece: bytes) -> None:
        """Take the next piece. Raises MultipartError."""
        for event in self._parser.feed(piece):
            if isinstance(event, PartBegin):
                self._begin(event)
            elif isinstance(event, PartData) and self._seen[-1] == "file":
                if not isinstance(self._checked, RefusalError):
                    await self._incoming.write(event.data)
            elif isinstance(event, PartData) and self._seen[-1] == "metadata":
                self._metadata += event.data
                if len(self._metadata) > LARGEST_METADATA_BYTES:
                    raise MultipartError(f"the metadata has more than {LARGEST_METADATA_BYTES:,} bytes")
            elif isinstance(event, PartData):
                self._waste_bytes += len(event.data)
                if self._waste_bytes > LARGEST_FORM_WASTE_BYTES:
                    raise MultipartError(f"part {self._seen[-1][:40]!r} is none of an upload's, and too large")

    def finish(self) -> UploadMetadata:
        """The checked metadata, when the form is complete. Raises MultipartError, and RefusalError."""
        if not self._parser.complete:
            raise MultipartError("it ends before its closing boundary")
        for name in ("metadata", "file"):
            if name not in self._seen:
                raise bad_request(f"missing part {name!r}")
        checked = self._checked or self._judge()  # here when the file came first
        if isinstance(checked, RefusalError):
            raise checked
        return checked

    def _judge(self) -> UploadMetadata | RefusalError:
        try:
            if not self._file_name:
                raise bad_request("part 'file' has no filename")
            check_file_name(self._file_name)
            return self._check(Form(bytes(self._metadata), self._file_name))
        except RefusalError as refusal:
            return refusal

    def _begin(self, part: PartBegin) -> None:
        if part.name in self._seen:
            raise MultipartError(f"part {part.name!r} was sent twice")
        if len(self._seen) == MOST_FORM_PARTS:
            raise MultipartError(f"it has more than {MOST_FORM_PARTS} parts")
        self._seen.append(part.name)
        if part.name == "file":
            self._file_name = part.file_name
            if "metadata" in self._seen:
                self._checked = self._judge()


def check_file_name(file_name: str) -> None:
    """Files are kept by UUID; names only have to be fit to be shown. Raises RefusalError (400)."""
    if len(file_name) > MAX_FILE_NAME_CHARACTERS or "\0" in file_name:
        raise bad_request(f"the file's name is longer than {MAX_FILE_NAME_CHARACTERS} characters or no text")


async def receive_form(exchange: Exchange, incoming: IncomingFile, check: Check) -> UploadMetadata:
    """Receive an upload's body. Raises RefusalError (400) for one that is malformed, and what `pieces` raises."""
    try:
        reader = FormReader(exchange.header("Content-Type") or "", incoming, check)
        async for piece in exchange.pieces():
            await reader.feed(piece)
        return reader.finish()
    except MultipartError as error:
        raise bad_request(f"malformed multipart/form-data: {error}") from None


def log_line(seconds: float, number: int, stream: str, text: str) -> str:
    """One line of get_upload_logs: nanosecond UTC time, stream, `F`, text (fact 1.10)."""
    moment = datetime.fromtimestamp(seconds, UTC)
    nanoseconds = moment.microsecond * 1000 + number
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z {stream} F {text}"
