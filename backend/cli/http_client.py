"""A small API client for the command line and the demo. Other programs use the official `openai` client."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import httpx

from backend.errors import AppError

POLL_S = 0.5


class Client:
    """An API client with one key. Raises every error response as AppError with its message."""

    def __init__(self, api_url: str, api_key: str) -> None:
        if not api_key:
            raise AppError(
                "An API key is required: use --api-key or set RLSD_API_KEY (`rlsd keys create NAME` creates a key)."
            )
        self._http = httpx.Client(
            base_url=api_url, headers={"authorization": f"Bearer {api_key}"}, timeout=httpx.Timeout(120.0)
        )

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, **query: str | int) -> dict[str, Any]:
        return self._decode(self._http.get(path, params=query))

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._decode(self._http.post(path, json=body))

    def upload(self, path: Path, *, to: str = "/v1/files", **form: str) -> dict[str, Any]:
        with path.open("rb") as file:
            return self._decode(
                self._http.post(to, files={"file": (path.name, file)}, data={"purpose": "fine-tune"} | form)
            )

    def download_adapter(self, job_id: str, path: Path) -> str:
        """Download the adapter's ZIP to `path`. Returns its SHA-256."""
        return self._download(f"/v1/fine_tuning/jobs/{job_id}/adapter", path)

    def download_export(
        self, job_id: str, path: Path, *, body: dict[str, str | None], report: Callable[[str], None]
    ) -> dict[str, Any]:
        """Create an export, or retry a failed one, wait for it and download its ZIP to `path`. Returns the export.

        `body` is that of the request; `report` is called with the current stage. Raises AppError if it fails or its
        outputs differ from the adapter's.
        """
        exports = f"/v1/fine_tuning/jobs/{job_id}/exports"
        export = self.post(exports, body)
        if export["status"] == "failed":
            self.delete(f"{exports}/{export['id']}")
            export = self.post(exports, body)
        reported = None
        while export["status"] in ("queued", "running"):
            stage = (export["progress"] or {}).get("unit", "waiting for a worker of the `sample` queue")
            if stage != reported:
                report(stage)
            reported = stage
            time.sleep(POLL_S)
            export = self.get(f"{exports}/{export['id']}")
        if export["status"] == "failed":
            raise AppError(export["error"]["message"], code=export["error"]["code"])
        self._download(f"{exports}/{export['id']}/content", path)
        return export

    def delete(self, path: str) -> dict[str, Any]:
        return self._decode(self._http.delete(path))

    @contextmanager
    def stream(self, method: str, path: str, **options: Any) -> Iterator[httpx.Response]:
        """Open a streamed response; `options` are those of `httpx.Client.stream`."""
        with self._http.stream(method, path, **options) as response:
            if response.is_error:
                response.read()
                self._decode(response)
            yield response

    def _download(self, source: str, path: Path) -> str:
        digest = hashlib.sha256()
        with self.stream("GET", source) as response, private_file(path) as file:
            for piece in response.iter_bytes():
                digest.update(piece)
                file.write(piece)
        return digest.hexdigest()

    def _decode(self, response: httpx.Response) -> dict[str, Any]:
        try:
            body: dict[str, Any] = response.json()
        except json.JSONDecodeError:
            body = {"error": {"message": f"{response.request.url} responded with status {response.status_code}."}}
        if response.is_error:
            error = body["error"]
            raise AppError(
                error["message"], status=response.status_code, code=error.get("code"), param=error.get("param")
            )
        return body


def private_file(path: Path) -> BinaryIO:
    """Open a file to write; a new one only its owner can read, as the others in the data folder."""
    return open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600))
