"""Base class of all streams: bounds, bookmark, checkpoints and summary of a run."""

from __future__ import annotations

import logging
import sys
import time
from abc import abstractmethod
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

import msgspec
from klaviyo_http.documents import decode_exactly
from klaviyo_http.errors import NoWayError, RefusedRequestError, RejectedKeyError, StreamError, frames
from klaviyo_http.moments import whole_second
from klaviyo_http.network import NetworkSettingError
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.schema.source import SchemaDirectory, StreamSchema
from singer_sdk.streams import Stream
from typing_extensions import override

from tap_klaviyo import schemas
from tap_klaviyo.errors import MapFailedError, MisspeltMetricsError
from tap_klaviyo.reading.bookmarks import Bookmark, SavedBookmark, before, read_state, span
from tap_klaviyo.reading.fetching import Fetcher
from tap_klaviyo.reading.rows import PageBudget, PageLimitReached, Row
from tap_klaviyo.reading.windows import WindowedReading
from tap_klaviyo.writer import encode_lines, json_line

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence

    from klaviyo_http.client import KlaviyoClient
    from klaviyo_http.endpoints import Endpoint
    from singer_sdk.helpers.types import Context, Record
    from singer_sdk.metrics import Counter
    from singer_sdk.singerlib import RecordMessage
    from singer_sdk.tap_base import Tap

    from tap_klaviyo.metrics import MetricDirectory
    from tap_klaviyo.reading.pages import P, Source
    from tap_klaviyo.settings import Settings
    from tap_klaviyo.writer import LineWriter

EXPLAINED = (
    RejectedKeyError,
    NoWayError,
    NetworkSettingError,
    MapFailedError,
    MisspeltMetricsError,
    BrokenPipeError,
)
"""Errors that end all streams; the tap reports them in one line."""

CHECKPOINT_RECORDS = 1_000
CHECKPOINT_SECONDS = 5.0
NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class Account:
    """Parts shared by the streams of one run."""

    client: KlaviyoClient
    settings: Settings
    metrics: MetricDirectory
    failed: set[str] = field(default_factory=set)
    """Names of the streams that could not be read to the end."""
    tried: set[str] = field(default_factory=set)
    """Names of the streams whose reading has ended, by itself or by the limit of ``--test``."""


@dataclass(slots=True)
class Run:
    """One run of one stream, or of its part that belongs to one parent."""

    since: datetime | None
    """Where the first run began; no run reads earlier records. None for the beginning."""
    lower: datetime | None
    """From when on, inclusively; None reads from the beginning."""
    upper: datetime
    """Until when, exclusively."""
    bookmark: Bookmark
    budget: PageBudget
    tally: dict[str, int]
    """Counts of all parts: emitted, repeats, pages, and those that a stream adds."""
    fetcher: Fetcher
    context: Context | None = None
    """The parent whose part of the stream is read, if it is read parent by parent: ``{"list_id": "Y6nRLr"}``."""
    resumes: bool = False
    """Whether there was a bookmark."""
    outcome: str = "stopped"

    @property
    def progress(self) -> tuple[int, str]:
        """The content of a STATE: number of emitted records, and the bookmark."""
        return self.tally["emitted"], self.bookmark.second


class Beginning(NamedTuple):
    """Where a run of a stream begins."""

    lower: datetime | None
    """From when on it reads; None: from the beginning."""
    position: str | None = None
    """Up to which second everything has been read, if that differs from the bookmark."""
    recalled: Collection[str] = ()
    """Ids emitted before, besides those of the bookmark."""


class KlaviyoStream(Stream):
    """A collection of Klaviyo's JSON:API, read in the order of its replication key."""

    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE  # JSON in, JSON out: no conversion
    schema: ClassVar[StreamSchema[str]] = StreamSchema(SchemaDirectory(schemas))
    primary_keys = ("id",)

    endpoint: ClassVar[Endpoint]
    """The collection to read."""
    versioned: ClassVar[bool] = False
    """Whether a record may occur again, changed, with a later replication key."""

    def __init__(self, tap: Tap, connect: Callable[[], Account]) -> None:
        super().__init__(tap)
        self._connect = connect
        self._run: Run | None = None
        self._fetched_at = datetime.now(UTC)
        self._next_checkpoint = CHECKPOINT_RECORDS
        self._last_checkpoint = time.monotonic()
        self._checkpointed = (0, "")
        self._tally: dict[str, int] = {}
        self._began = time.monotonic()

    @cached_property
    def account(self) -> Account:
        """The account to read; opened late, so that discovery works without settings."""
        return self._connect()

    @cached_property
    def lines(self) -> LineWriter:
        """Where the messages go."""
        return cast("LineWriter", self._tap.message_writer)

    @property
    def reach(self) -> timedelta:
        """How far before the bookmark a run reads again."""
        return self.overlap

    @property
    def overlap(self) -> timedelta:
        """How far before the bookmark emitted records are remembered."""
        return span(seconds=self.account.settings.overlap_seconds)

    @property
    def first_endpoint(self) -> Endpoint:
        """The endpoint of the first request; its answer gives the server's time if none has yet."""
        return self.endpoint

    @property
    def reads_nothing(self) -> bool:
        """Whether it is known, once the stream is prepared, that there is nothing to read."""
        return False

    def contexts(self) -> Iterable[Context | None]:
        """Name the parents whose parts of the stream are read one by one; None: it is read as a whole."""
        return (None,)

    def prepare(self) -> None:
        """Read data that the stream needs before its run begins."""

    def begin(self, saved: SavedBookmark | None, since: datetime | None) -> Beginning:
        """Return where to begin; *since* is where the first run began, or begins."""
        return Beginning(before(saved.moment, self.reach, since) if saved and saved.moment else since)

    @abstractmethod
    def records(self, run: Run) -> Iterator[Record]:
        """Read the run's records, in order, and count them."""

    def finish(self, run: Run) -> None:
        """Move the bookmark to the end of what has been read; to the lower bound, if ``end_date`` lies before that."""
        run.bookmark.complete(max(run.upper, run.lower) if run.lower else run.upper)

    def notes(self, _: Run) -> dict[str, Any]:
        """Compose the members of the stream's state besides bookmark and first bound."""
        return {}

    # -- reading ---------------------------------------------------------------------------------------------------

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        """Read the stream; a failure is reported here, so that the other streams go on."""
        requests = self.account.client.requests
        self._began = time.monotonic()
        self._tally = {"emitted": 0, "repeats": 0, "pages": 0}
        try:
            yield from islice(self._read(context), self.ABORT_AT_RECORD_COUNT)  # the limit of --test
            self.account.tried.add(self.name)
        finally:
            if self._run:
                self._run.fetcher.close()
                self.account.client.abandon()
            if self.ABORT_AT_RECORD_COUNT is None:  # a connection test is not a run
                self._summarise(self.account.client.requests - requests)
        self._run = None

    def _read(self, context: Context | None) -> Iterator[Record]:
        """Read every part, and handle what ends the reading.

        Raises:
            RejectedKeyError, NoWayError: No stream can be read.
            MisspeltMetricsError: This one never can.
            BrokenPipeError: The reader of the output has ended.
        """
        try:
            self.prepare()
            for part in [context] if context else self.contexts():
                yield from self._read_part(part)
        except EXPLAINED:
            raise
        except PageLimitReached:
            self._stopped_at_limit()
        except StreamError as error:
            self._failed(str(error))
        except Exception as error:  # noqa: BLE001 - a mistake of ours in one stream must not cost the others
            self._failed(f"unexpected {type(error).__name__} at {frames(error)}")
        self.checkpoint()

    def _read_part(self, context: Context | None) -> Iterator[Record]:
        """Read the part of the stream that belongs to one parent, or all of it; a parent may be gone by now."""
        self._run = run = self._begin(context)
        try:
            if run.lower is None or run.lower < run.upper:
                yield from self.records(run)
            self.finish(run)
        except RefusedRequestError as error:
            if context is None or error.status != NOT_FOUND:
                raise
            run.tally["gone"] = run.tally.get("gone", 0) + 1
        run.outcome = "complete"
        run.fetcher.close()
        self._note_state(run)

    def emit(self, run: Run, pages: Iterable[Sequence[Row]]) -> Iterator[Record]:
        """Emit rows that were not emitted before."""
        bookmark, tally = run.bookmark, run.tally
        for rows in pages:
            fresh = bookmark.fresh(rows)
            run.budget.begin(fresh)
            yield from self.write(fresh, bookmark)
            if len(fresh) < len(rows):  # else `write` has noted them all
                bookmark.note(rows)
            tally["repeats"] += len(rows) - len(fresh)
            self.count(run, fresh)
            self.settle()

    def count(self, run: Run, emitted: Sequence[Row]) -> None:
        """Count what was emitted."""
        run.tally["emitted"] += len(emitted)

    def write(self, rows: Sequence[Row], bookmark: Bookmark | None = None) -> Iterator[Record]:
        """Write rows, and note them in the bookmark, if one is given.

        If the SDK has nothing to change, they are written together; otherwise they are passed to it one by one, and
        stream maps and the selection of properties apply.
        """
        with self.lines.hold():
            if self._plain:
                name = self.stream_maps[0].stream_alias
                records = (
                    {"type": "RECORD", "stream": name, "record": row.record, "time_extracted": row.fetched_at}
                    for row in rows
                )
                self.lines.write_lines(encode_lines(list(records)))
                self._counter.increment(len(rows))
                if bookmark:
                    bookmark.note(rows)
                return
            for row in rows:
                self._fetched_at = row.fetched_at
                yield row.record if self._opaque else decoded(row.record)
                if bookmark:
                    bookmark.note((row,))

    def reading(
        self,
        run: Run,
        source: Source[P],
        lower: datetime | None,
        before_page: Callable[[], None],
        share: int = 1,
        *,
        in_windows: bool = True,
    ) -> WindowedReading[P]:
        """Prepare to read a source, one of *share*, from *lower* to the run's upper bound.

        With ``max_pages``, and where it is not read *in_windows*, there is one chain, and *before_page* is called
        before every page but the first.
        """
        limit = None if run.budget.limit is None and in_windows else before_page
        return WindowedReading(source, run.fetcher, (lower, run.upper), self.settle, limit, share)

    def settle(self) -> None:
        """Write a STATE, if there is news and the last one was long ago.

        A first run writes none before its first record: a bookmark there would indicate earlier runs to a target.
        """
        self.lines.check()
        if self._run is None or not (self._run.resumes or self._run.tally["emitted"]):
            return
        late = time.monotonic() - self._last_checkpoint >= CHECKPOINT_SECONDS
        if self._run.tally["emitted"] >= self._next_checkpoint or (late and self._run.progress != self._checkpointed):
            self.checkpoint()

    def _begin(self, context: Context | None) -> Run:
        self.lines.check()
        settings, client = self.account.settings, self.account.client
        start = client.run_start(self.first_endpoint, self.reach)
        saved = self._saved(start, context)
        since = saved.since if saved else self._first_lower_bound(start, context)
        lower, position, recalled = self.begin(saved, since)
        upper = min(start, settings.end) if settings.end else start
        if lower and upper <= lower and upper < start:
            self.logger.warning(
                "stream %s: nothing to read: `end_date` (%s) lies before %s, where this run would begin",
                self.name,
                whole_second(upper),
                whole_second(lower),
            )
        bookmark = Bookmark(
            saved,
            ceiling=max(start, saved.moment) if saved and saved.moment else start,
            overlap=self.overlap,
            versioned=self.versioned,
            position=position,
            recalled=recalled,
        )
        limit = settings.max_pages if self.replication_key else None  # without a bookmark, no run could go on
        budget = PageBudget(limit, bookmark, counted=self._run.budget.counted if self._run else 0)
        fetcher = Fetcher(settings.max_concurrency)
        return Run(since, lower, upper, bookmark, budget, self._tally, fetcher, context, resumes=saved is not None)

    def _saved(self, start: datetime, context: Context | None) -> SavedBookmark | None:
        """Read the saved bookmark; one in the future is moved back to the run's start.

        One that this tap has written was no later than the server's clock; if that is behind it now, but this
        machine's is not, the server's clock is wrong. Then the bookmark stays: going back would repeat records.

        For a state that does not say where the first run began, a ``start_date`` before its bookmark is used.
        """
        if not self._is_incremental:
            return None
        saved = read_state(self.get_context_state(context), str(self.replication_key))
        if saved and saved.moment and saved.moment > start:
            if saved.tells_since and saved.moment <= datetime.now(UTC):
                self.logger.warning(
                    "stream %s: the server's clock is behind the bookmark, which stays; what happened since comes in "
                    "later runs",
                    self.name,
                )
            else:
                self.logger.warning(
                    "the bookmark in the state lies in the future; reading from the run's start instead"
                )
                saved = replace(saved, moment=start)
        if saved and saved.moment and not saved.tells_since:
            earliest = self.account.settings.start
            saved = replace(saved, since=earliest if earliest and earliest <= saved.moment else None)
        return saved

    def _first_lower_bound(self, start: datetime, context: Context | None) -> datetime | None:
        if self.replication_key is None:
            return None
        settings = self.account.settings
        hours = settings.initial_sync_lookback_hours
        reach = span(hours=hours) if hours else timedelta(0)
        lower = before(start, reach) if hours else settings.start and before(settings.start, reach)
        bound = f"what happened since {whole_second(lower)}" if lower else "everything"
        reason = "the state holds no bookmark" if self._is_incremental else "the catalog asks for a full read"
        if self.ABORT_AT_RECORD_COUNT is None and not self.reads_nothing:
            whose = f" (of {', '.join(map(str, context.values()))})" if context else ""
            level = logging.INFO if context else logging.WARNING
            self.logger.log(level, "stream %s%s: %s; reading %s", self.name, whose, reason, bound)
        return lower

    # -- state -----------------------------------------------------------------------------------------------------

    @property
    def _is_incremental(self) -> bool:
        return self.replication_method == "INCREMENTAL"

    def checkpoint(self) -> None:
        """Write a STATE with the end of what has been emitted so far."""
        if self._run is None or not self._is_incremental:
            return
        state = self._note_state(self._run)
        self._tap.state_writer.write_state(self.tap_state)
        self.lines.flush()
        self.lines.check()
        self._last_checkpoint = time.monotonic()
        self._checkpointed = self._run.progress
        pause = max(CHECKPOINT_RECORDS, len(state.get("seen", ())) // 2)  # a long list is not written so often
        self._next_checkpoint = self._run.tally["emitted"] + pause

    def _note_state(self, run: Run) -> dict[str, Any]:
        """Put a run's progress into the state, and return it."""
        if not self._is_incremental:
            return {}
        state = run.bookmark.to_state(str(self.replication_key))
        if state or (run.outcome == "complete" and run.context is None):
            state |= {"since": whole_second(run.since) if run.since else None, **self.notes(run)}
        self.get_context_state(run.context).update(state)
        return state

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        """Return none: the tap bounds its bookmark itself."""

    @override
    def _write_starting_replication_value(self, context: Context | None) -> None:
        """Keep the SDK's own notes out of the state."""

    @override
    def _increment_stream_state(self, latest_record: Record, *, context: Context | None = None) -> None:
        """Leave the bookmark to `checkpoint`; the SDK's would go back on late records."""

    # -- messages --------------------------------------------------------------------------------------------------

    @cached_property
    def _opaque(self) -> bool:
        """Whether nested values may stay encoded: nothing downstream in the tap looks into them."""
        maps = self.stream_maps
        return (
            len(maps) == 1
            and type(maps[0]) is SameRecordTransform
            and not maps[0].flattening_enabled
            and all(selected for breadcrumb, selected in self.mask.items() if len(breadcrumb) > 2)
        )

    @cached_property
    def _plain(self) -> bool:
        """Whether all records are written unchanged."""
        return (
            self._opaque
            and all(self.mask.values())
            and self._stream_version is None
            and self.ABORT_AT_RECORD_COUNT is None
        )

    @override
    def get_record_counter(self, **options: Any) -> Counter:
        """Keep the counter, so that records that bypass the SDK are counted too."""
        self._counter = super().get_record_counter(**options)
        return self._counter

    @override
    def _generate_record_messages(self, record: Record) -> Generator[RecordMessage, None, None]:
        """Compose the messages of a record, stamped with the time its page was fetched.

        Raises:
            MapFailedError: A stream map cannot be applied to it.
        """
        try:
            for message in super()._generate_record_messages(record):
                message.time_extracted = self._fetched_at
                yield message
        except Exception as error:  # noqa: BLE001 - whatever an expression does; its message may hold a value
            raise MapFailedError(
                f"stream {self.name}: an expression in `stream_maps` cannot be evaluated for a record "
                f"({type(error).__name__}); the state holds what was written before. Correct the expression; it must "
                "bear properties that are null or absent"
            ) from None

    # -- reports ---------------------------------------------------------------------------------------------------

    @override
    def log(self, message: str, *args: Any, level: int = logging.INFO, **kwargs: Any) -> None:
        """Log for the SDK, but not its "unhandled error" if `TapKlaviyo.run` handles and reports the error."""
        if level < logging.ERROR or not isinstance(sys.exception(), EXPLAINED):
            super().log(message, *args, level=level, **kwargs)

    def _stopped_at_limit(self) -> None:
        if self._run:
            self._run.outcome = "stopped at max_pages"
        self.logger.warning(
            "stream %s: stopped at max_pages, and there is more; the next run continues. Raise max_pages or run more "
            "often if this happens every time",
            self.name,
        )

    def _failed(self, reason: str) -> None:
        if self._run:
            self._run.outcome = "failed"
        self.account.failed.add(self.name)
        self.logger.error("stream %s failed: %s", self.name, reason)

    def _summarise(self, requests: int) -> None:
        run = self._run
        ended = "failed" if self.name in self.account.failed else "complete"  # without a run: nothing was to be read
        summary: dict[str, Any] = {"stream": self.name, "outcome": run.outcome if run else ended}
        if run:
            summary |= run.tally
            if run.context is None:
                bookmark = run.bookmark.second
                summary["bookmark"] = f"{bookmark}Z" if bookmark else None
            summary["seconds"] = round(time.monotonic() - self._began, 1)
            if run.bookmark.may_repeat:
                self.logger.warning(
                    "stream %s: more records in the overlap than the state can remember; the next run may repeat some",
                    self.name,
                )
        summary |= {"requests": requests, "settings": self.account.settings.fingerprint}
        self.logger.info("summary: %s", json_line(summary))


def decoded(value: Any) -> Any:
    """Decode the opaque values of a record; numbers keep their exact value."""
    if isinstance(value, msgspec.Raw):
        return decode_exactly(value)
    return {name: decoded(one) for name, one in value.items()} if isinstance(value, dict) else value
