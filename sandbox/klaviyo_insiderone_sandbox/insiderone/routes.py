"""The endpoints of Insider One's user API.

Source: "Upsert User Data", "Delete User Attribute" and "Get User Profiles", https://academy.insiderone.com/docs/.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from klaviyo_insiderone_sandbox.exchange import Answer, Call, json_answer
from klaviyo_insiderone_sandbox.insiderone import errors
from klaviyo_insiderone_sandbox.insiderone.errors import InsiderError
from klaviyo_insiderone_sandbox.insiderone.profile_read import ProfileRequest, profile_of
from klaviyo_insiderone_sandbox.insiderone.settings import PARTNER, TOKEN
from klaviyo_insiderone_sandbox.insiderone.validation import Objections, User, UserInput, examine, examine_identifiers
from klaviyo_insiderone_sandbox.quotas import MINUTE, Bucket, Quotas

if TYPE_CHECKING:
    from klaviyo_insiderone_sandbox.faults import Side
    from klaviyo_insiderone_sandbox.insiderone.state import Users

UPSERT = "/api/user/v1/upsert"
ATTRIBUTE_DELETE = "/api/user/v1/attribute/delete"
PROFILE = "/api/user/v1/profile"

WRITES = Bucket("upsert and attribute/delete", {MINUTE: 25_000})
READS = Bucket("profile", {MINUTE: 1_000})

Sent = TypeVar("Sent")


class Partial(msgspec.Struct):
    """Attributes to remove: whole ones, and elements of arrays."""

    whole: list[str] = []
    partial: dict[str, msgspec.Raw] = {}


class Deletion(Partial):
    """One user of attribute/delete."""

    identifiers: msgspec.Raw = msgspec.Raw(b"")
    insider_id: str | None = None
    custom: Partial = msgspec.field(default_factory=Partial)


class InsiderOneApi:
    """Serves an account."""

    side: Side = "insiderone"

    def __init__(self, users: Users) -> None:
        self.users = users
        self.quotas = Quotas()
        self._routes = {
            UPSERT: (WRITES, self.upsert),
            ATTRIBUTE_DELETE: (WRITES, self.delete),
            PROFILE: (READS, self.profile),
        }

    def reset(self) -> None:
        """Forget every user, and return to the standard settings and quotas."""
        self.users.reset()
        self.quotas.reset()

    def answer(self, call: Call) -> Answer:
        """Serve one call: headers, quota, content type, size, JSON and users are checked in this order."""
        try:
            return self._served(call)
        except InsiderError as error:
            return error.answer()

    def error(self, status: int, headers: dict[str, str]) -> Answer:
        """Compose the documented answer of *status*."""
        return errors.staged(status, headers)

    def scopes_of(self, _: Call) -> list[str] | None:
        """Tokens have no scopes."""
        return None

    def _served(self, call: Call) -> Answer:
        if call.path not in self._routes:
            return json_answer(404, {"error": "not found"})
        if call.method != "POST":
            return json_answer(405, {"error": "method not allowed"})
        bucket, serve = self._routes[call.path]
        self._check_headers(call)
        if wait := self.quotas.take([bucket]):
            raise errors.too_many_requests({"Retry-After": str(wait)} if self.users.settings.retry_after else None)
        if not re.fullmatch(r"application/json\s*(;.*)?", call.headers.get("content-type", ""), re.IGNORECASE):
            raise errors.wrong_content_type()
        if len(call.body) > errors.MAX_BODY_BYTES:
            raise errors.too_big()
        return serve(call)

    def _check_headers(self, call: Call) -> None:
        if call.headers.get("x-partner-name") != PARTNER:
            raise errors.unknown_partner(self.users.settings.unknown_partner_status)
        if call.headers.get("x-request-token") != TOKEN:
            raise errors.access_denied()

    def upsert(self, call: Call) -> Answer:
        """POST /api/user/v1/upsert: keep the valid users, report the others by position; always 200."""
        envelope = envelope_of(call)
        sent = users_of(envelope, UserInput)
        skip_hook = bytes(envelope.get("skip_hook", b"")) == b"true"
        self.users.requests += 1
        refused: dict[int, Objections] = {}
        for position, one in enumerate(sent):
            examined = self._examined(one)
            if isinstance(examined, User):
                self.users.write(examined, skip_hook=skip_hook)
            else:
                refused[position] = examined
                self.users.refuse(position, examined, shown(one.identifiers))
        return report(len(sent) - len(refused), refused)

    def _examined(self, sent: UserInput) -> User | Objections:
        examined = examine(sent)
        if (
            self.users.settings.unresolved == "refuse"
            and isinstance(examined, User)
            and not self.users.resolves(examined)
        ):
            return {"identifiers.required": [errors.NO_IDENTIFIER], "insider_id.required": [errors.NO_IDENTIFIER]}
        return examined

    def delete(self, call: Call) -> Answer:
        """POST /api/user/v1/attribute/delete: remove attributes, or elements of array attributes."""
        sent = users_of(envelope_of(call), Deletion)
        self.users.requests += 1
        refused: dict[int, Objections] = {}
        for position, one in enumerate(sent):
            objections: Objections = {}
            identifiers = examine_identifiers(
                UserInput(identifiers=one.identifiers, insider_id=one.insider_id), objections
            )
            if objections:
                refused[position] = objections
                self.users.refuse(position, objections, shown(one.identifiers))
            elif stored := self.users.find(identifiers, one.insider_id):
                whole = [*one.whole, *(f"custom.{name}" for name in one.custom.whole)]
                partial = {**one.partial, **{f"custom.{name}": value for name, value in one.custom.partial.items()}}
                self.users.delete_attributes(stored, whole, {name: bytes(value) for name, value in partial.items()})
        return report(len(sent) - len(refused), refused)

    def profile(self, call: Call) -> Answer:
        """POST /api/user/v1/profile: read one user."""
        envelope_of(call)
        try:
            request = msgspec.json.decode(call.body, type=ProfileRequest)
        except msgspec.DecodeError:
            raise errors.not_json() from None
        objections: Objections = {}
        identifiers = examine_identifiers(
            UserInput(identifiers=request.identifiers, insider_id=request.insider_id), objections
        )
        if objections:
            raise errors.bad_request("no valid identifier")
        if request.attributes is None and request.events is None:
            raise errors.bad_request("attributes or events must be defined")
        stored = self.users.find(identifiers, request.insider_id)
        if stored is None:
            raise errors.no_such_user()
        used = next((usage.used for usage in self.quotas.usage() if usage.bucket == READS.name), 0)
        return json_answer(200, profile_of(stored, request, used), records=1)


def envelope_of(call: Call) -> dict[str, msgspec.Raw]:
    """Decode the top level of a body that is JSON as a whole."""
    if not call.is_json:
        raise errors.not_json()
    try:
        return msgspec.json.decode(call.body, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        raise errors.no_users() from None


def users_of(envelope: dict[str, msgspec.Raw], kind: type[Sent]) -> list[Sent]:
    """Decode the users of a body; their number is checked."""
    text = bytes(envelope.get("users", b"null"))
    if not text.startswith(b"["):
        raise errors.no_users()
    try:
        sent: list[Sent] = msgspec.json.decode(text, type=list[kind])  # type: ignore[valid-type]  # a type at run time
    except msgspec.DecodeError:
        raise errors.not_json() from None
    if not sent:
        raise errors.no_users()
    if len(sent) > errors.MAX_USERS:
        raise errors.too_many_users()
    return sent


def shown(raw: msgspec.Raw) -> Any:
    """Return undecoded JSON for the list of refusals."""
    return msgspec.Raw(bytes(raw)) if bytes(raw) else None


def report(accepted: int, refused: dict[int, Objections]) -> Answer:
    """Compose the answer to a write: counts of users, and the objections keyed ``users.N.<key>``."""
    successful: dict[str, Any] = {"count": accepted} if accepted else {}
    fail: dict[str, Any] = {}
    if refused:
        texts = {f"users.{position}.{key}": why for position, one in refused.items() for key, why in one.items()}
        fail = {"count": len(refused), "errors": texts}
    return json_answer(200, {"data": {"successful": successful, "fail": fail}}, records=accepted)
