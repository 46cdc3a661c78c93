"""A small client of the API for the command line and the demo. Other programs use the official `openai` client."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from backend.errors import AppError

POLL_S = 0.5


class Client:
    """One connection with one key. Every refusal of the API is raised as AppError with its sentence."""

    def __init__(self, api_url: str, api_key: str) -> None:
        if not api_key:
            raise AppError(
                "An API key is needed: give --api-key or set RLSD_API_KEY (`rlsd keys create NAME` makes one)."
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
        return self._answer(self._http.get(path, params=query))

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._answer(self._http.post(path, json=body))

    def upload(self, path: Path, *, to: str = "/v1/files", **form: str) -> dict[str, Any]:
        with path.open("rb") as file:
            return self._answer(
                self._http.post(to, files={"file": (path.name, file)}, data={"purpose": "fine-tune"} | form)
            )

    def download_adapter(self, job_id: str, path: Path) -> str:
        """Stream the adapter's ZIP into `path`; returns its SHA-256."""
        return self._download(f"/v1/fine_tuning/jobs/{job_id}/adapter", path)

    def download_export(
        self, job_id: str, path: Path, *, format: str, checkpoint: str | None, say: Callable[[str], None]
    ) -> dict[str, Any]:
        """Have it made, or made again where it failed, wait for it, and stream its ZIP into `path`; the export.

        `say` is told what is being done. Raises AppError where it fails or does not agree with the adapter.
        """
        exports, wanted = f"/v1/fine_tuning/jobs/{job_id}/exports", {"format": format, "checkpoint": checkpoint}
        export = self.post(exports, wanted)
        if export["status"] == "failed":
            self.delete(f"{exports}/{export['id']}")
            export = self.post(exports, wanted)
        said = None
        while export["status"] in ("queued", "running"):
            now = (export["progress"] or {}).get("unit", "waiting for a worker of the `sample` queue")
            if now != said:
                say(now)
            said = now
            time.sleep(POLL_S)
            export = self.get(f"{exports}/{export['id']}")
        if export["status"] == "failed":
            raise AppError(export["error"]["message"], code=export["error"]["code"])
        self._download(f"{exports}/{export['id']}/content", path)
        return export

    def delete(self, path: str) -> dict[str, Any]:
        return self._answer(self._http.delete(path))

    @contextmanager
    def stream(self, method: str, path: str, **sent: Any) -> Iterator[httpx.Response]:
        """The answer while it comes; `sent` is as httpx takes it."""
        with self._http.stream(method, path, **sent) as response:
            if response.is_error:
                response.read()
                self._answer(response)
            yield response

    def _download(self, source: str, path: Path) -> str:
        digest = hashlib.sha256()
        with self.stream("GET", source) as response, path.open("wb") as file:
            for piece in response.iter_bytes():
                digest.update(piece)
                file.write(piece)
        return digest.hexdigest()

    def _answer(self, response: httpx.Response) -> dict[str, Any]:
        try:
            body: dict[str, Any] = response.json()
        except json.JSONDecodeError:
            body = {"error": {"message": f"{response.request.url} answered with status {response.status_code}."}}
        if response.is_error:
            error = body["error"]
            raise AppError(
                error["message"], status=response.status_code, code=error.get("code"), param=error.get("param")
            )
        return body
