"""Commands of `rlsd files`, `rlsd jobs` and `rlsd checks` that do more than call one route.

Each prints the API's response as one JSON object per line, for use in scripts.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.cli.fields import existing_file, read_object, read_text
from backend.cli.standalone import Mapping
from backend.errors import AppError

if TYPE_CHECKING:
    from backend.cli.http_client import Client

files_app = typer.Typer(no_args_is_help=True)
jobs_app = typer.Typer(no_args_is_help=True)
checks_app = typer.Typer(no_args_is_help=True)

ENDED = ("succeeded", "failed", "cancelled")
POLL_S = 1.0

ApiUrl = Annotated[
    str | None,
    typer.Option(envvar="RLSD_API_URL", help="URL of the API; by default the application running on RLSD_HOME."),
]
ApiKey = Annotated[str, typer.Option(envvar="RLSD_API_KEY", help="API key.")]
JobId = Annotated[str, typer.Argument(help="`ftjob-…`")]
Dataset = Annotated[Path, typer.Argument(help="JSONL, JSON, CSV, TSV, Parquet, or a ZIP with images/.")]


@files_app.command("upload")
def upload(
    path: Dataset,
    mapping: Mapping = None,
    on_bad_rows: Annotated[
        str, typer.Option(help="`reject`: an invalid row makes the file invalid; `take_good`: it is skipped.")
    ] = "reject",
    api_url: ApiUrl = None,
    api_key: ApiKey = "",
) -> None:
    """Upload a dataset, and wait until its rows have been read."""
    with connected(api_url, api_key) as client:
        show(client.upload(existing_file(path), on_bad_rows=on_bad_rows, **_form(mapping)))


@files_app.command("preview")
def preview(path: Dataset, mapping: Mapping = None, api_url: ApiUrl = None, api_key: ApiKey = "") -> None:
    """Show how a file (of at most 8 MiB) would be read, without storing it."""
    with connected(api_url, api_key) as client:
        show(client.upload(existing_file(path), to="/v1/files/preview", **_form(mapping)))


def _form(mapping: str | None) -> dict[str, str]:
    return {} if mapping is None else {"mapping": mapping}


def _add_job_command(name: str, path: str, description: str) -> None:
    """Add a command that sends a job's request, assembled from files."""

    def send(
        request: Annotated[Path, typer.Argument(help="JSON file: the body of POST /v1/fine_tuning/jobs.")],
        training_file: Annotated[str | None, typer.Option(help="`file-…`; replaces the request's.")] = None,
        validation_file: Annotated[str | None, typer.Option(help="`file-…`; replaces the request's.")] = None,
        verifier: Annotated[
            Path | None, typer.Option(help="Python file with the grader; replaces the request's.")
        ] = None,
        api_url: ApiUrl = None,
        api_key: ApiKey = "",
    ) -> None:
        body = read_object(request)
        files = {"training_file": training_file, "validation_file": validation_file}
        body |= {each: file for each, file in files.items() if file is not None}
        if verifier is not None:
            settings = body.setdefault("method", {"type": "reinforcement"}).setdefault("reinforcement", {})
            given = settings.get("grader")
            kept = given if isinstance(given, dict) and given.get("type") == "python" else {}  # such as its range
            settings["grader"] = {**kept, "type": "python", "name": "verifier", "source": read_text(verifier)}
        with connected(api_url, api_key) as client:
            show(client.post(path, body))

    jobs_app.command(name, help=description)(send)


_add_job_command("create", "/v1/fine_tuning/jobs", "Create a training job and queue it.")
_add_job_command("estimate", "/v1/fine_tuning/jobs/estimate", "Estimate time, memory and cost of a training job.")


@jobs_app.command("wait")
def wait(job: JobId, api_url: ApiUrl = None, api_key: ApiKey = "") -> None:
    """Wait until a job has ended, and print its progress. The exit code is 1 if it did not succeed."""
    with connected(api_url, api_key) as client:
        printed = None
        while True:
            current = client.get(f"/v1/fine_tuning/jobs/{job}")
            progress = current["x_progress"]
            line = f"{current['status']}, step {progress['step']} of {progress['max_steps']}"
            if line != printed:
                print(printed := line, file=sys.stderr, flush=True)
            if current["status"] in (*ENDED, "paused"):
                show(current)
                raise typer.Exit(0 if current["status"] == "succeeded" else 1)
            time.sleep(POLL_S)


@checks_app.command("wait")
def wait_for_check(
    check: Annotated[str, typer.Argument(help="`check-…`")], api_url: ApiUrl = None, api_key: ApiKey = ""
) -> None:
    """Wait until a check has ended. The exit code is 1 if it failed."""
    with connected(api_url, api_key) as client:
        while (current := client.get(f"/v1/checks/{check}"))["status"] not in ("done", "failed"):
            time.sleep(POLL_S)
    show(current)
    raise typer.Exit(0 if current["status"] == "done" else 1)


@jobs_app.command("export-run")
def export_run(
    job: JobId,
    to: Annotated[str, typer.Option(help="`tensorboard`, `mlflow` or `wandb`, configured as for a worker.")],
    api_url: ApiUrl = None,
    api_key: ApiKey = "",
) -> None:
    """Log a job's metrics and evaluations to an experiment tracker. Steps that it already has are not logged again."""
    from backend.settings import settings
    from backend.tracking.choice import tracker_factory
    from backend.tracking.whole import figures_of, log_run, run_of

    tracker, path = tracker_factory(to, settings())(), f"/v1/fine_tuning/jobs/{job}"
    with connected(api_url, api_key) as client:
        exported = client.get(path)
        figures = figures_of(all_items(client, f"{path}/metrics"), all_items(client, f"{path}/evaluations"))
    log_run(tracker, run_of(exported), figures, finished=exported["status"] == "succeeded")
    steps = sum(not each.of_evaluation for each in figures)
    show({"job": job, "to": to, "steps": steps, "evaluations": len(figures) - steps})


@contextmanager
def connected(api_url: str | None, api_key: str) -> "Iterator[Client]":
    """Open a client of the given server, by default of the application running on RLSD_HOME."""
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
        raise AppError(f"The API at {url} is not reachable ({error}): set its address with --api-url.") from None


def all_items(client: "Client", path: str) -> Iterator[dict[str, Any]]:
    """Yield all items of a list, page by page."""
    query: dict[str, str | int] = {"limit": 100}
    while True:
        page = client.get(path, **query)
        yield from page["data"]
        if not page["has_more"]:
            return
        query["after"] = page["last_id"]


def show(value: dict[str, Any]) -> None:
    """Print a value as one line of JSON."""
    print(json.dumps(value, ensure_ascii=False))
