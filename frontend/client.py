"""The only way from the pages to the service: typed calls of its HTTP API.

Every failure, a refusal or an API that does not answer, becomes one `ApiError` whose message is the API's own sentence.
Its objects are in `shapes.py`.
"""

import os
from collections.abc import Mapping
from typing import IO, Any, Literal, cast

import httpx

from frontend.shapes import (
    Check,
    DataFile,
    Evaluation,
    Event,
    Export,
    FileDifference,
    FileReport,
    Job,
    Json,
    Page,
    ScoreRecord,
    Tokens,
    Verifier,
)

DEFAULT_API_URL = "http://127.0.0.1:8000"
TIMEOUT = httpx.Timeout(120.0, connect=5.0)
"""Long for reading: trying a verifier waits for a worker."""


class ApiError(Exception):
    """A call that failed. `message` is a sentence for people; `status` 0 means that nothing answered."""

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
        """The key is unknown or was revoked."""
        return self.status == 401


def api_url() -> str:
    return os.environ.get("RLSD_API_URL", DEFAULT_API_URL).rstrip("/")


def new_connections(url: str) -> httpx.Client:
    """A pool of connections to the API at `url`, shared by everyone who looks at this UI; it holds no key."""
    return httpx.Client(base_url=url, timeout=TIMEOUT)


class Client:
    """The API as one person, known by their key, may use it."""

    def __init__(self, connections: httpx.Client, *, key: str) -> None:
        self._connections = connections
        self._headers = {"Authorization": f"Bearer {key}"}

    # -- files -------------------------------------------------------------------------------------------------------

    def files(self, *, after: str | None = None, limit: int = 100) -> Page:
        return cast("Page", self._get("/v1/files", after=after, limit=limit, order="desc"))

    def datasets(self) -> list[DataFile]:
        """The newest files whose rows can be used."""
        return [file for file in self.files()["data"] if file["status"] == "processed"]

    def file(self, file_id: str) -> DataFile:
        return cast("DataFile", self._get(f"/v1/files/{file_id}"))

    def upload(
        self,
        content: IO[bytes],
        *,
        filename: str,
        mapping: str | None,
        leave_out_bad: bool = False,
        wait: bool = True,
    ) -> DataFile:
        """Store a dataset. `mapping` is JSON: {"question": column, "answer": column, "hint"?: column}.

        Without `wait` its `status` may be `uploaded`: ask again until it is not.
        """
        form = {"purpose": "fine-tune"} | ({"mapping": mapping} if mapping else {})
        form |= {"on_bad_rows": "take_good"} if leave_out_bad else {}
        prefer = {} if wait else {"Prefer": "respond-async"}
        files = {"file": (filename, content)}
        return cast("DataFile", self._call("POST", "/v1/files", data=form, files=files, headers=prefer))

    def delete_file(self, file_id: str) -> None:
        self._call("DELETE", f"/v1/files/{file_id}")

    def file_content(self, file_id: str) -> bytes:
        return self._bytes(f"/v1/files/{file_id}/content")

    def file_report(self, file_id: str, *, against: str | None = None) -> FileReport:
        """`against`: another file, whose overlap with this one is then told."""
        return cast("FileReport", self._get(f"/v1/files/{file_id}/report", against=against))

    def file_image(self, file_id: str, sha256: str) -> bytes:
        return self._bytes(f"/v1/files/{file_id}/images/{sha256}")

    def count_tokens(self, file_id: str, *, model: str, max_prompt_tokens: int, max_completion_tokens: int) -> Check:
        """Have a worker count the tokens of a file's rows; the report holds the result once the check is done."""
        body = {"model": model, "max_prompt_tokens": max_prompt_tokens, "max_completion_tokens": max_completion_tokens}
        return cast("Check", self._call("POST", f"/v1/files/{file_id}/tokens", json=body))

    def file_rows(self, file_id: str, *, after: str | None = None, limit: int) -> Page:
        return cast("Page", self._get(f"/v1/files/{file_id}/rows", after=after, limit=limit))

    def create_version(self, file_id: str, *, edits: list[Json], filters: list[Json], filename: str | None) -> DataFile:
        """A new file: this one with these edits, without the rows that the filters leave out."""
        body: Json = {"edits": edits, "filters": filters} | ({"filename": filename} if filename else {})
        return cast("DataFile", self._call("POST", f"/v1/files/{file_id}/versions", json=body))

    def split_file(self, file_id: str, *, share: float, seed: int, stratify_by: str | None) -> dict[str, DataFile]:
        """Two new files, `train` and `validation`."""
        body: Json = {"share": share, "seed": seed, "stratify_by": stratify_by}
        return cast("dict[str, DataFile]", self._call("POST", f"/v1/files/{file_id}/split", json=body))

    def file_versions(self, file_id: str) -> list[DataFile]:
        """The file's whole family, the oldest first."""
        return cast("list[DataFile]", self._get(f"/v1/files/{file_id}/versions")["data"])

    def file_difference(self, file_id: str, *, to: str, limit: int) -> FileDifference:
        return cast("FileDifference", self._get(f"/v1/files/{file_id}/difference", to=to, limit=limit))

    def file_history(self, file_id: str, *, after: str | None, limit: int) -> Page:
        """Rows with what each job did with them."""
        return cast("Page", self._get(f"/v1/files/{file_id}/history", after=after, limit=limit))

    # -- verifiers ---------------------------------------------------------------------------------------------------

    def verifiers(self, *, after: str | None = None, limit: int = 100) -> Page:
        return cast("Page", self._get("/v1/verifiers", after=after, limit=limit, order="desc"))

    def ready_made_verifiers(self) -> list[Json]:
        """Those to start from: `{id, name, use, grader, examples}`."""
        return cast("list[Json]", self._get("/v1/verifiers/ready-made")["data"])

    def verifier(self, verifier_id: str) -> Verifier:
        return cast("Verifier", self._get(f"/v1/verifiers/{verifier_id}"))

    def verifier_versions(self, verifier_id: str) -> Page:
        return cast("Page", self._get(f"/v1/verifiers/{verifier_id}/versions", limit=100))

    def create_verifier(self, *, name: str, grader: Json) -> Verifier:
        return cast("Verifier", self._call("POST", "/v1/verifiers", json={"name": name, "grader": grader}))

    def add_verifier_version(self, verifier_id: str, *, name: str, grader: Json) -> Verifier:
        path = f"/v1/verifiers/{verifier_id}/versions"
        return cast("Verifier", self._call("POST", path, json={"name": name, "grader": grader}))

    def validate_grader(self, grader: Json) -> Json:
        """`{grader, x_signature?}`; an ApiError names the field that is at fault."""
        return self._call("POST", "/v1/fine_tuning/alpha/graders/validate", json={"grader": grader})

    def try_verifier(self, grader: Json, *, item: Json, answer: str | None, output_text: str) -> ScoreRecord:
        """Score one text with a verifier that need not be saved, in the sandbox of a worker."""
        sample = {"item": item, "answer": answer, "output_text": output_text}
        body = {"grader": grader, "samples": [sample]}
        return cast("ScoreRecord", self._call("POST", "/v1/verifiers/test", json=body)["records"][0])

    def self_check(self, grader: Json, *, file: str, rows: int) -> Check:
        """Try a verifier on rows of a file; the check tells the rest."""
        body = {"grader": grader, "file": file, "rows": rows}
        return cast("Check", self._call("POST", "/v1/verifiers/check", json=body))

    # -- jobs --------------------------------------------------------------------------------------------------------

    def models(self) -> list[Json]:
        return cast("list[Json]", self._get("/v1/models")["data"])

    def jobs(self, *, after: str | None = None, limit: int = 20) -> Page:
        return cast("Page", self._get("/v1/fine_tuning/jobs", after=after, limit=limit))

    def job(self, job_id: str) -> Job:
        return cast("Job", self._get(f"/v1/fine_tuning/jobs/{job_id}"))

    def create_job(self, body: Json) -> Job:
        return cast("Job", self._call("POST", "/v1/fine_tuning/jobs", json=body))

    def preflight(self, trial: Json) -> Check:
        """Sample from the base model: `{model, training_file, grader, x_rlsd, rows, samples}`; poll the check."""
        return cast("Check", self._call("POST", "/v1/fine_tuning/preflight", json=trial))

    def teacher_preview(self, trial: Json) -> Check:
        """The prompts of a row: `{model, training_file, x_rlsd, row}`; done, unless the worker is busy."""
        return cast("Check", self._call("POST", "/v1/fine_tuning/teacher-preview", json=trial))

    def ask_job(self, job_id: str, wish: Literal["cancel", "pause", "resume"]) -> Job:
        return cast("Job", self._call("POST", f"/v1/fine_tuning/jobs/{job_id}/{wish}"))

    def events(self, job_id: str, *, limit: int = 50) -> list[Event]:
        """The newest first."""
        return cast("list[Event]", self._get(f"/v1/fine_tuning/jobs/{job_id}/events", limit=limit)["data"])

    def job_checks(self, job_id: str) -> Json:
        """What was found before training, with every detail."""
        return self._get(f"/v1/fine_tuning/jobs/{job_id}/checks")

    def metrics(self, job_id: str, *, after: str | None, limit: int = 1000) -> Page:
        """Steps in order, those after step `after`."""
        return cast("Page", self._get(f"/v1/fine_tuning/jobs/{job_id}/metrics", after=after, limit=limit))

    def evaluations(self, job_id: str) -> list[Evaluation]:
        return cast("list[Evaluation]", self._get(f"/v1/fine_tuning/jobs/{job_id}/evaluations")["data"])

    def rollouts(self, job_id: str, *, step: int | None, row: int | None, after: str | None, limit: int) -> Page:
        path = f"/v1/fine_tuning/jobs/{job_id}/rollouts"
        return cast("Page", self._get(path, step=step, row=row, after=after, limit=limit))

    def tokens(self, job_id: str, rollout_id: str) -> Tokens:
        return cast("Tokens", self._get(f"/v1/fine_tuning/jobs/{job_id}/rollouts/{rollout_id}/tokens"))

    def rescore(self, job_id: str, *, grader: Json, first: int | None, last: int | None, limit: int) -> Check:
        """Score the newest completions of these steps again, None for an open end; the check tells the rest."""
        steps = {name: step for name, step in (("from", first), ("to", last)) if step is not None}
        body = {"grader": grader, "steps": steps, "limit": limit}
        return cast("Check", self._call("POST", f"/v1/fine_tuning/jobs/{job_id}/rescore", json=body))

    def adapter(self, job_id: str) -> bytes:
        """The trained adapter as a ZIP."""
        return self._bytes(f"/v1/fine_tuning/jobs/{job_id}/adapter")

    def checkpoints(self, job_id: str) -> list[Json]:
        """Those that are kept, the newest first."""
        return cast("list[Json]", self._get(f"/v1/fine_tuning/jobs/{job_id}/checkpoints", limit=100)["data"])

    def exports(self, job_id: str) -> list[Export]:
        """The newest first."""
        return cast("list[Export]", self._get(f"/v1/fine_tuning/jobs/{job_id}/exports")["data"])

    def create_export(self, job_id: str, *, format: str, checkpoint: str | None) -> Export:
        """Have a model made of the adapter; the same request gives the same export."""
        body: Json = {"format": format, "checkpoint": checkpoint}
        return cast("Export", self._call("POST", f"/v1/fine_tuning/jobs/{job_id}/exports", json=body))

    def delete_export(self, export: Export) -> None:
        self._call("DELETE", f"/v1/fine_tuning/jobs/{export['job_id']}/exports/{export['id']}")

    def export_content(self, export: Export) -> bytes:
        """The ZIP."""
        return self._bytes(f"/v1/fine_tuning/jobs/{export['job_id']}/exports/{export['id']}/content")

    def settings_schemas(self) -> dict[str, Json]:
        """JSON schemas by name, `RlsdSettings` and `Lora` among them, from the API's description of itself."""
        return cast("dict[str, Json]", self._get("/openapi.json")["components"]["schemas"])

    # -- checks ------------------------------------------------------------------------------------------------------

    def check(self, check_id: str) -> Check:
        return cast("Check", self._get(f"/v1/checks/{check_id}"))

    def checks(self, *, kind: str, job: str | None = None, file: str | None = None, limit: int = 1) -> list[Check]:
        """The newest first."""
        return cast("list[Check]", self._get("/v1/checks", kind=kind, job=job, file=file, limit=limit)["data"])

    # -- the wire ----------------------------------------------------------------------------------------------------

    def _get(self, path: str, **query: str | int | None) -> Json:
        return self._call("GET", path, params={name: value for name, value in query.items() if value is not None})

    def _call(self, method: str, path: str, **content: Any) -> Json:
        return cast("Json", self._send(method, path, **content).json())

    def _bytes(self, path: str) -> bytes:
        return self._send("GET", path).content

    def _send(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **content: Any
    ) -> httpx.Response:
        try:
            response = self._connections.request(method, path, headers={**self._headers, **(headers or {})}, **content)
        except httpx.TransportError as error:
            raise _no_answer(error) from error
        except httpx.InvalidURL as error:
            message = "The address names nothing that can exist: go back to the list and choose again."
            raise ApiError(message, status=404, code="not_found", param=None, request_id=None) from error
        if response.is_error:
            raise _refusal(response)
        return response


def _no_answer(error: httpx.TransportError) -> ApiError:
    what = "took too long" if isinstance(error, httpx.TimeoutException) else "does not answer"
    message = f"The service at {api_url()} {what}. See that it is running (`rlsd up`), then try again."
    return ApiError(message, status=0, code="no_answer", param=None, request_id=None)


def _refusal(response: httpx.Response) -> ApiError:
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
