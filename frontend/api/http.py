"""HTTP transport: one connection pool, one key, and one error type for every failure."""

import json
import os
from collections.abc import Generator, Mapping
from typing import Any, cast
from urllib.parse import quote

import httpx

from frontend.api.types import Json

DEFAULT_API_URL = "http://127.0.0.1:8000"
TIMEOUT = httpx.Timeout(120.0, connect=5.0)
"""Long read timeout: testing a verifier waits for a worker."""
STREAM = httpx.Timeout(660.0, connect=5.0)
"""Longer than a chat request may wait for its first token (`RLSD_CHAT_WAIT_S`): a model may have to be loaded."""


class ApiError(Exception):
    """A failed call. `message` is a sentence for people; `status` 0 means no response."""

    def __init__(
        self, message: str, *, status: int, code: str | None, param: str | None, request_id: str | None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.param = param
        self.request_id = request_id

    @property
    def signed_out(self) -> bool:
        """Whether the key is unknown or was revoked."""
        return self.status == 401


def api_url() -> str:
    return os.environ.get("RLSD_API_URL", DEFAULT_API_URL).rstrip("/")


def public_api_url() -> str:
    """Return the API's address for users' programs, which may differ from the one that this UI uses."""
    return os.environ.get("RLSD_PUBLIC_API_URL", "").rstrip("/") or api_url()


def new_connections(url: str) -> httpx.Client:
    """Create a pool of connections to the API at `url`, shared by all viewers of this UI; it holds no key."""
    return httpx.Client(base_url=url, timeout=TIMEOUT)


def segment(given: str) -> str:
    """Encode an id as one segment of a path. ApiError 404 for one that would lead to another route.

    Ids come from the browser's address: unencoded, a link could steer the signed-in user's request to any route.
    """
    if given in ("", ".", "..") or "/" in given:  # servers and proxies decode %2F before they route
        raise _nowhere()
    return quote(given, safe=":@")


def segments(given: str) -> str:
    """Encode a name that may contain slashes, such as a model's, as segments of a path; raises as `segment`."""
    return "/".join(segment(part) for part in given.split("/"))


class Wire:
    """The API with one key. Paths are built with `segment`."""

    def __init__(self, connections: httpx.Client, *, key: str) -> None:
        self._connections = connections
        self._headers = {"Authorization": f"Bearer {key}"}

    def get_json(self, path: str, **query: str | int | None) -> Json:
        return self.call("GET", path, params={name: value for name, value in query.items() if value is not None})

    def call(self, method: str, path: str, **content: Any) -> Json:
        return cast("Json", self._send(method, path, **content).json())

    def get_bytes(self, path: str) -> bytes:
        return self._send("GET", path).content

    def stream_events(self, method: str, path: str, **content: Any) -> Generator[str]:
        """Yield the data of server-sent events; raise ApiError for one that contains an error."""
        try:
            with self._connections.stream(method, path, headers=self._headers, timeout=STREAM, **content) as response:
                if response.is_error:
                    response.read()
                    raise _error_of(response)
                for line in response.iter_lines():
                    if line.startswith("data: "):
                        data = line.removeprefix("data: ")
                        if data.startswith('{"error"'):
                            raise _failed_half_way(data)
                        yield data
        except httpx.TransportError as error:
            raise _no_answer(error) from error

    def _send(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **content: Any
    ) -> httpx.Response:
        try:
            response = self._connections.request(method, path, headers={**self._headers, **(headers or {})}, **content)
        except httpx.TransportError as error:
            raise _no_answer(error) from error
        except httpx.InvalidURL as error:
            raise _nowhere() from error
        if response.is_error:
            raise _error_of(response)
        return response


def _nowhere() -> ApiError:
    message = "Nothing can exist at this address. Go back to the list and choose again."
    return ApiError(message, status=404, code="not_found", param=None, request_id=None)


def _no_answer(error: httpx.TransportError) -> ApiError:
    what = "took too long to respond" if isinstance(error, httpx.TimeoutException) else "is not responding"
    message = f"The service at {api_url()} {what}. Check that it is running (`rlsd up`), then try again."
    return ApiError(message, status=0, code="no_answer", param=None, request_id=None)


def _failed_half_way(data: str) -> ApiError:
    body: Mapping[str, Any] = json.loads(data)["error"]
    return ApiError(str(body["message"]), status=503, code=body.get("code"), param=body.get("param"), request_id=None)


def _error_of(response: httpx.Response) -> ApiError:
    try:
        body: Mapping[str, Any] = response.json()["error"]
    except (ValueError, KeyError, TypeError):
        body = {"message": f"The service answered {response.status_code} {response.reason_phrase}."}
    return ApiError(
        str(body.get("message")),
        status=response.status_code,
        code=body.get("code"),
        param=body.get("param"),
        request_id=response.headers.get("x-request-id"),
    )
