"""Predictive analytics of profiles: optional; dropped for the rest of a run if the API keeps failing with it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from klaviyo_http.errors import RetriesSpentError
from klaviyo_http.filters import leaving_out, query_string
from singer_sdk.schema.source import StreamSchema
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Callable

    from klaviyo_http.client import Fetched, KlaviyoClient, Parameters
    from singer_sdk.streams import Stream

ADDITIONAL = "additional-fields[profile]"
FIELD = "predictive_analytics"
SETTING = "fetch_predictive_analytics"

Document = TypeVar("Document")

logger = logging.getLogger("tap-klaviyo.predictions")


class PredictiveReader:
    """Reads profiles with predictive analytics, and without them as soon as a page fails with them.

    Under load, the API has failed (503) with the field where it succeeded without it.
    """

    def __init__(self, client: KlaviyoClient) -> None:
        self._client = client
        self._asks = True

    def get(self, path: str, parameters: Parameters, decode: Callable[[bytes], Document]) -> Fetched[Document]:
        """Read the first page of a collection; see `follow`."""
        return self.follow(f"{path}?{query_string(parameters)}", decode)

    def follow(self, link: str, decode: Callable[[bytes], Document]) -> Fetched[Document]:
        """Read the page that a link names, as `KlaviyoClient.follow` does."""
        if self._asks:
            try:
                return self._client.follow(link, decode)
            except RetriesSpentError:
                self._asks = False
                logger.warning(
                    "stream profiles: no answer with %s within max_retry_seconds; the run goes on without the field. "
                    "Switch %s off if this happens every time",
                    FIELD,
                    SETTING,
                )
        parts = urlsplit(link)
        return self._client.follow(f"{parts.path}?{leaving_out(parts.query, ADDITIONAL, FIELD)}", decode)


class ProfileSchema(StreamSchema[str]):
    """The schema of profiles, which has the field only where the settings ask for it."""

    @override
    def get_stream_schema(self, stream: Stream, stream_class: type[Stream]) -> dict[str, Any]:
        schema = super().get_stream_schema(stream, stream_class)
        if not stream.config.get(SETTING):
            return schema
        return {**schema, "properties": {**schema["properties"], FIELD: self.schema_source.get_schema(FIELD)}}
