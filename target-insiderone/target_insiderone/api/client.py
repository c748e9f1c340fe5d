"""Endpoints and headers of Insider One's API, and a check of the credentials.

Source: Upsert User Data, Get User Profiles, API Rate Limits (https://academy.insiderone.com/docs/upsert-user-data-api
and its neighbours).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from singer_delivery.destination import (
    AnswerMismatchError,
    Request,
    RowRefusedError,
    StopSendingError,
    UnclearRefusalError,
)
from singer_delivery.errors import Finding
from singer_delivery.sending.network import NetworkSettingError
from singer_delivery.sending.transport import GaveUpError, NoWayError, TransportSettings

from target_insiderone.api.answers import NAME, PARTNER_UNKNOWN, read_upsert

if TYPE_CHECKING:
    from collections.abc import Iterator

    from singer_delivery.destination import Transport

    from target_insiderone.settings.settings import Settings

UPSERT = "/api/user/v1/upsert"
DELETE_ATTRIBUTES = "/api/user/v1/attribute/delete"
PROFILE = "/api/user/v1/profile"
_NOBODY = b'{"identifiers":{"email":"nobody@target-insiderone.invalid"},"attributes":["email"]}'


def transport_settings(settings: Settings, version: str) -> TransportSettings:
    """The settings of the HTTP transport."""
    return TransportSettings(
        destination=NAME,
        api_url=settings.api_url,
        headers={
            "X-PARTNER-NAME": settings.partner_name,
            "X-REQUEST-TOKEN": settings.api_key,
            "Content-Type": "application/json",
            "User-Agent": f"target-insiderone/{version}",
        },
        request_timeout_seconds=settings.request_timeout_seconds,
        max_retry_seconds=settings.max_retry_seconds,
        rate_limit_per_minute=settings.rate_limit_per_minute,
    )


def try_credentials(transport: Transport) -> Iterator[Finding]:
    """Read a profile that does not exist: a 404 means that partner and key are valid. Writes nothing."""
    try:
        _ask(transport)
    except StopSendingError as error:
        if error.status in {400, 401, 403}:
            if PARTNER_UNKNOWN in str(error):
                yield Finding("partner_name", str(error), "correct it")
            else:
                yield Finding("api_key", str(error), "correct it, or partner_name")
        elif error.status != 404:
            yield Finding("api_url", str(error), "check the address and any proxy")
    except RowRefusedError:
        yield Finding("api_url", "a request for a profile is answered with 400", "check the address and any proxy")
    except AnswerMismatchError:
        return  # an answer with a profile proves the credentials, too
    except GaveUpError as error:
        message = f"{NAME} did not answer as expected ({error.reason})"
        yield Finding("api_url", message, "check the address, proxies and the network, or try again later")
    except (NoWayError, NetworkSettingError) as error:
        yield Finding("api_url", str(error), "check the address, proxies and the network")


def _ask(transport: Transport) -> None:
    """Request the profile of an invalid address; no row could be at fault."""
    try:
        transport.send(Request("profile", PROFILE, _NOBODY), 1, read_upsert)
    except UnclearRefusalError as error:
        raise error.why from None
