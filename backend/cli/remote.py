"""`rlsd files`, `rlsd jobs`, `rlsd checks`: what does more than ask one route; `backend.cli.main` has the rest.

Each prints what the API answered as one JSON object a line, so that scripts can go on from it.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.cli.fields import existing, read_object, read_text
from backend.errors import AppError

if TYPE_CHECKING:
    from backend.cli.http_client import Client

files_app = typer.Typer(no_args_is_help=True, help="Datasets on a server.")
jobs_app = typer.Typer(no_args_is_help=True, help="Training runs on a server.")
checks_app = typer.Typer(no_args_is_help=True, help="What a worker finds out before or beside training.")

ENDED = ("succeeded", "failed", "cancelled")
LOOK_S = 1.0

ApiUrl = Annotated[
    str | None, typer.Option(envvar="RLSD_API_URL", help="By default the application running on RLSD_HOME.")
]
ApiKey = Annotated[str, typer.Option(envvar="RLSD_API_KEY", help="A key of the API.")]
JobId = Annotated[str, typer.Argument(help="`ftjob-…`")]
Dataset = Annotated[Path, typer.Argument(help="JSONL, JSON, CSV, TSV, Parquet, or a ZIP with images/.")]
Mapping = Annotated[
    str | None, typer.Option(help='JSON: {"question": column, "answer": column, "hint"?: column, "images"?: column}.')
]


@files_app.command("upload")
def upload(
    path: Dataset,
    mapping: Mapping = None,
    on_bad_rows: Annotated[
        str, typer.Option(help="`reject`: a row that cannot be used refuses the file; `take_good`: it is left out.")
    ] = "reject",
    api_url: ApiUrl = None,
    api_key: ApiKey = "",
) -> None:
    """Send a dataset; the answer comes when its rows were read."""
    with connected(api_url, api_key) as client:
        show(client.upload(existing(path), on_bad_rows=on_bad_rows, **_form(mapping)))


@files_app.command("preview")
def preview(path: Dataset, mapping: Mapping = None, api_url: ApiUrl = None, api_key: ApiKey = "") -> None:
    """How a file (of at most 8 MiB) would be read, before it is stored."""
    with connected(api_url, api_key) as client:
        show(client.upload(existing(path), to="/v1/files/preview", **_form(mapping)))


def _form(mapping: str | None) -> dict[str, str]:
    return {} if mapping is None else {"mapping": mapping}


def _asking(name: str, path: str, about: str) -> None:
    """A command that sends a job's request, put together from files."""

    def send(
        request: Annotated[Path, typer.Argument(help="JSON: the body of POST /v1/fine_tuning/jobs.")],
        training_file: Annotated[str | None, typer.Option(help="`file-…`; replaces the request's.")] = None,
        validation_file: Annotated[str | None, typer.Option(help="`file-…`; replaces the request's.")] = None,
        verifier: Annotated[
            Path | None, typer.Option(help="A Python file with the grader; replaces the request's.")
        ] = None,
        api_url: ApiUrl = None,
        api_key: ApiKey = "",
    ) -> None:
        body = read_object(request)
        files = {"training_file": training_file, "validation_file": validation_file}
        body |= {each: file for each, file in files.items() if file is not None}
        if verifier is not None:
            grader = {"type": "python", "name": "verifier", "source": read_text(verifier)}
            body.setdefault("method", {"type": "reinforcement"}).setdefault("reinforcement", {})["grader"] = grader
        with connected(api_url, api_key) as client:
            show(client.post(path, body))

    jobs_app.command(name, help=about)(send)


_asking("create", "/v1/fine_tuning/jobs", "Queue a training run.")
_asking("estimate", "/v1/fine_tuning/jobs/estimate", "Time, memory and price of a training run, before it is made.")


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


@checks_app.command("wait")
def wait_for_check(
    check: Annotated[str, typer.Argument(help="`check-…`")], api_url: ApiUrl = None, api_key: ApiKey = ""
) -> None:
    """Wait for a check's end; the exit code is 1 where it failed."""
    with connected(api_url, api_key) as client:
        while (seen := client.get(f"/v1/checks/{check}"))["status"] not in ("done", "failed"):
            time.sleep(LOOK_S)
    show(seen)
    raise typer.Exit(0 if seen["status"] == "done" else 1)


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
def connected(api_url: str | None, api_key: str) -> "Iterator[Client]":
    """A client of the named server, else of the application that runs on RLSD_HOME."""
    import httpx

    from backend.cli.http_client import Client
    from backend.settings import settings
    from backend.stack.up import running_application

    running = running_application(settings().home)
    url = api_url or (running.api_url if running else settings().api_url)
    try:
        with Client(url, api_key) as client:
            yield client
    except httpx.HTTPError as error:
        raise AppError(f"The API at {url} does not answer ({error}): name it with --api-url.") from None


def everything(client: "Client", path: str) -> Iterator[dict[str, Any]]:
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
