"""`rlsd files …` and `rlsd jobs …`: what the API can do, from the command line, against any server.

Each command prints what the API answered as one JSON object a line, so that scripts can go on from it.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from backend.client import Client
from backend.errors import AppError

files_app = typer.Typer(no_args_is_help=True, help="Datasets on a server.")
jobs_app = typer.Typer(no_args_is_help=True, help="Training runs on a server.")

ENDED = ("succeeded", "failed", "cancelled")
LOOK_S = 1.0

ApiUrl = Annotated[
    str | None, typer.Option(envvar="RLSD_API_URL", help="By default the application running on RLSD_HOME.")
]
ApiKey = Annotated[str, typer.Option(envvar="RLSD_API_KEY", help="A key of the API.")]
JobId = Annotated[str, typer.Argument(help="`ftjob-…`")]
FileId = Annotated[str, typer.Argument(help="`file-…`")]


@files_app.command("upload")
def upload(
    path: Annotated[Path, typer.Argument(help="JSONL, JSON, CSV, TSV, Parquet, or a ZIP with images/.")],
    api_url: ApiUrl = None,
    api_key: ApiKey = "",
) -> None:
    """Send a dataset; the answer comes when its rows were read."""
    if not path.is_file():
        raise AppError(f"There is no file {path}.")
    with connected(api_url, api_key) as client:
        show(client.upload(path))


@files_app.command("list")
def list_files(api_url: ApiUrl = None, api_key: ApiKey = "") -> None:
    """Show all files, the newest first."""
    with connected(api_url, api_key) as client:
        for file in everything(client, "/v1/files"):
            show(file)


@files_app.command("delete")
def delete_file(file: FileId, api_url: ApiUrl = None, api_key: ApiKey = "") -> None:
    """Delete a file that no job was made from."""
    with connected(api_url, api_key) as client:
        show(client.delete(f"/v1/files/{file}"))


@jobs_app.command("create")
def create(
    request: Annotated[Path, typer.Argument(help="JSON: the body of POST /v1/fine_tuning/jobs.")],
    training_file: Annotated[str | None, typer.Option(help="`file-…`; replaces the request's.")] = None,
    validation_file: Annotated[str | None, typer.Option(help="`file-…`; replaces the request's.")] = None,
    verifier: Annotated[
        Path | None, typer.Option(help="A Python file with the grader; replaces the request's.")
    ] = None,
    api_url: ApiUrl = None,
    api_key: ApiKey = "",
) -> None:
    """Queue a training run."""
    try:
        body = json.loads(request.read_text())
        source = None if verifier is None else verifier.read_text()
    except (OSError, ValueError) as error:
        raise AppError(f"{request} or the verifier cannot be read: {error}.") from None
    if training_file is not None:
        body["training_file"] = training_file
    if validation_file is not None:
        body["validation_file"] = validation_file
    if source is not None:
        grader = {"type": "python", "name": "verifier", "source": source}
        body.setdefault("method", {"type": "reinforcement"}).setdefault("reinforcement", {})["grader"] = grader
    with connected(api_url, api_key) as client:
        show(client.post("/v1/fine_tuning/jobs", body))


@jobs_app.command("list")
def list_jobs(api_url: ApiUrl = None, api_key: ApiKey = "") -> None:
    """Show all jobs, the newest first."""
    with connected(api_url, api_key) as client:
        for job in everything(client, "/v1/fine_tuning/jobs"):
            show(job)


@jobs_app.command("show")
def show_job(job: JobId, api_url: ApiUrl = None, api_key: ApiKey = "") -> None:
    """Show a job."""
    with connected(api_url, api_key) as client:
        show(client.get(f"/v1/fine_tuning/jobs/{job}"))


@jobs_app.command("wait")
def wait(job: JobId, api_url: ApiUrl = None, api_key: ApiKey = "") -> None:
    """Wait for a job's end, telling of its steps; the exit code is 1 where it did not succeed."""
    with connected(api_url, api_key) as client:
        told = None
        while True:
            seen = client.get(f"/v1/fine_tuning/jobs/{job}")
            progress = seen["x_progress"]
            now = f"{seen['status']}, step {progress['step']} of {progress['max_steps']}"
            if now != told:
                print(told := now, file=sys.stderr, flush=True)
            if seen["status"] in (*ENDED, "paused"):
                show(seen)
                raise typer.Exit(0 if seen["status"] == "succeeded" else 1)
            time.sleep(LOOK_S)


def _changing(action: str, help_text: str) -> None:
    def change(job: JobId, api_url: ApiUrl = None, api_key: ApiKey = "") -> None:
        with connected(api_url, api_key) as client:
            show(client.post(f"/v1/fine_tuning/jobs/{job}/{action}", {}))

    jobs_app.command(action, help=help_text)(change)


_changing("cancel", "Stop a job at its next step.")
_changing("pause", "Pause a job at its next step, with a checkpoint.")
_changing("resume", "Let a paused job go on from its last checkpoint.")


@jobs_app.command("delete")
def delete_job(job: JobId, api_url: ApiUrl = None, api_key: ApiKey = "") -> None:
    """Delete a job that has ended, with its adapter."""
    with connected(api_url, api_key) as client:
        show(client.delete(f"/v1/fine_tuning/jobs/{job}"))


@jobs_app.command("export-run")
def export_run(
    job: JobId,
    to: Annotated[str, typer.Option(help="`tensorboard`, `mlflow` or `wandb`; its settings are as for a worker.")],
    api_url: ApiUrl = None,
    api_key: ApiKey = "",
) -> None:
    """Tell a job's metrics and evaluations to an experiment tracker; steps that it has already are not told twice."""
    from backend.settings import settings
    from backend.tracking.choice import maker
    from backend.tracking.whole import figures_of, run_of, tell_whole

    tracker, path = maker(to, settings())(), f"/v1/fine_tuning/jobs/{job}"
    with connected(api_url, api_key) as client:
        seen = client.get(path)
        figures = figures_of(everything(client, f"{path}/metrics"), everything(client, f"{path}/evaluations"))
    tell_whole(tracker, run_of(seen), figures, finished=seen["status"] == "succeeded")
    told = {"steps": sum(not each.of_evaluation for each in figures)}
    show({"job": job, "to": to} | told | {"evaluations": len(figures) - told["steps"]})


@contextmanager
def connected(api_url: str | None, api_key: str) -> Iterator[Client]:
    """A client of the named server, else of the application that runs on RLSD_HOME."""
    import httpx

    from backend.application import running_application
    from backend.settings import settings

    running = running_application(settings().home)
    url = api_url or (running.api_url if running else settings().api_url)
    try:
        with Client(url, api_key) as client:
            yield client
    except httpx.HTTPError as error:
        raise AppError(f"The API at {url} does not answer ({error}): name it with --api-url.") from None


def everything(client: Client, path: str) -> Iterator[dict[str, Any]]:
    """All items of a list, page by page."""
    query: dict[str, str | int] = {"limit": 100}
    while True:
        page = client.get(path, **query)
        yield from page["data"]
        if not page["has_more"]:
            return
        query["after"] = page["last_id"]


def show(answer: dict[str, Any]) -> None:
    print(json.dumps(answer, ensure_ascii=False))
