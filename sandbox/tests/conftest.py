"""One sandbox per test process, emptied before each test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests
from klaviyo_insiderone_sandbox.testing import KLAVIYO_KEY, PARTNER, TOKEN, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

REVISION = "2026-07-15"


@pytest.fixture(scope="session")
def running() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    running.reset()
    return running


class KlaviyoCaller:
    """Asks the fake Klaviyo directly."""

    def __init__(self, base_url: str, session: requests.Session) -> None:
        self._base_url = base_url
        self._session = session

    def get(self, path: str, **parameters: Any) -> requests.Response:
        """GET with the full key; parameters in Python's spelling, such as ``page__size`` for ``page[size]``."""
        query = {spelled(name): value for name, value in parameters.items()}
        headers = {"Authorization": f"Klaviyo-API-Key {KLAVIYO_KEY}", "revision": REVISION}
        return self._session.get(self._base_url + path, params=query, headers=headers, timeout=30)

    def follow(self, url: str) -> requests.Response:
        """GET a whole address."""
        headers = {"Authorization": f"Klaviyo-API-Key {KLAVIYO_KEY}", "revision": REVISION}
        return self._session.get(url, headers=headers, timeout=30)

    def walk(self, path: str, **parameters: Any) -> list[dict[str, Any]]:
        """Collect all rows, page by page."""
        answer = self.get(path, **parameters).json()
        rows = list(answer["data"])
        while answer["links"]["next"]:
            answer = self.follow(answer["links"]["next"]).json()
            rows += answer["data"]
        return rows


def spelled(name: str) -> str:
    """Turn ``additional_fields__profile`` into ``additional-fields[profile]``."""
    if "__" not in name:
        return name
    head, inner = name.split("__")
    return f"{head.replace('_', '-')}[{inner}]"


@pytest.fixture(scope="session")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


@pytest.fixture
def klaviyo(sandbox: Sandbox, session: requests.Session) -> KlaviyoCaller:
    sandbox.quotas(None)
    return KlaviyoCaller(sandbox.klaviyo_url, session)


class InsiderOneCaller:
    """Asks the fake Insider One directly."""

    def __init__(self, base_url: str, session: requests.Session) -> None:
        self._base_url = base_url
        self._session = session

    def post(
        self, path: str, body: Any = None, *, headers: dict[str, str] | None = None, **options: Any
    ) -> requests.Response:
        """POST with the standard credentials; *headers* of None value are left out."""
        known = {"X-PARTNER-NAME": PARTNER, "X-REQUEST-TOKEN": TOKEN}
        json_body = {} if body is None else {"json": body}
        return self._session.post(
            f"{self._base_url}/api/user/v1/{path}",
            headers={**known, **(headers or {})},
            timeout=30,
            **json_body,
            **options,
        )

    def upsert(self, *users: dict[str, Any], **top_level: Any) -> dict[str, Any]:
        """Upsert users; return the report's ``data``."""
        answer = self.post("upsert", {"users": list(users), **top_level})
        assert answer.status_code == 200, answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data


@pytest.fixture
def insiderone(sandbox: Sandbox, session: requests.Session) -> InsiderOneCaller:
    return InsiderOneCaller(sandbox.insiderone_url, session)
