"""The `rlsd` command: starts the application or its parts, trains without services, calls the API of a server."""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from backend.cli.chat import chat
from backend.cli.keys import keys_app
from backend.cli.remote import ApiKey, ApiUrl, checks_app, connected, files_app, jobs_app
from backend.cli.requests import add_commands
from backend.errors import AppError

app = typer.Typer(no_args_is_help=True, add_completion=False, help="RLSD Workbench.", pretty_exceptions_enable=False)
add_commands(app, {"files": files_app, "jobs": jobs_app, "checks": checks_app})
app.add_typer(keys_app, name="keys")
app.command("chat")(chat)

EXPORTS = ("adapter", "merged", "gguf")
Host = Annotated[str, typer.Option(help="Address to listen on.")]


def _replace_process(arguments: list[str]) -> NoReturn:
    """Replace this process by another program, so that signals reach it directly."""
    os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606


@app.command()
def up(
    host: Host = "127.0.0.1",
    api_port: Annotated[int, typer.Option(help="Port of the API.")] = 8000,
    ui_port: Annotated[int, typer.Option(help="Port of the UI.")] = 8501,
    no_ui: Annotated[bool, typer.Option("--no-ui", help="Do not start the UI.")] = False,
    with_smollm2: Annotated[
        bool,
        typer.Option("--with-smollm2", help="Fetch SmolLM2-135M-Instruct, a small real model (93 MB), unless present."),
    ] = False,
) -> None:
    """Start everything on this machine: database, broker, API, workers, UI. Data is in RLSD_HOME (./.rlsd)."""
    from backend.settings import settings
    from backend.stack import up as application

    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    application.up(
        settings(),
        host=host,
        api_port=api_port,
        ui_port=None if no_ui else ui_port,
        with_small_model=with_smollm2,
        say=lambda line: print(line, flush=True),
        stopping=lambda: stopping,
    )


@app.command()
def down(timeout_s: Annotated[float, typer.Option(help="Seconds to wait until it has stopped.")] = 60.0) -> None:
    """Stop the application that uses RLSD_HOME."""
    from backend.settings import settings
    from backend.stack.embedded import holder
    from backend.stack.up import running_application

    running = running_application(settings().home)
    if running is None:
        print("No application is running on this data folder.")
        return
    os.kill(running.pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    while holder(settings().home) is not None:
        if time.monotonic() > deadline:
            raise AppError(f"The application (process {running.pid}) did not stop within {timeout_s:g} s.")
        time.sleep(0.1)
    print("Stopped.")


@app.command()
def api(host: Host = "127.0.0.1", port: Annotated[int, typer.Option(help="Port.")] = 8000) -> None:
    """Run only the API (DATABASE_URL and BROKER_URL must be set)."""
    # Uvicorn's log lines matter only once `configure_logs` has set their format.
    _replace_process(
        ["-m", "uvicorn", "backend.app:app", "--host", host, "--port", str(port), "--no-access-log"]
        + [
            "--timeout-graceful-shutdown",
            "5",
            "--log-level",
            "warning",
        ]
    )


@app.command()
def worker(
    queue: Annotated[str, typer.Option(help="`train`, `check`, `sample` or `chat`.")] = "train",
    processes: Annotated[int, typer.Option(help="Number of processes of a check worker.", min=1)] = 1,
) -> None:
    """Run one worker: a Celery worker, after testing the sandbox, or the chat server."""
    if queue == "chat":
        _replace_process(["-m", "worker.commands.serve"])
    pools = {
        "train": ["--pool", "threads", "--concurrency", "1"],
        "check": ["--concurrency", str(processes)],
        "sample": ["--pool", "threads", "--concurrency", "1"],  # forks a process per task
    }
    if queue not in pools:
        raise AppError(f"There is no queue '{queue}': use train, check, sample or chat.")
    from backend.stack.processes import run_module

    run_module(["worker.sandbox.probe"], refusal="The sandbox failed its attack tests; this worker will not start.")
    _replace_process(
        ["-m", "celery", "--app", "worker.tasks", "--quiet", "worker", "--queues", queue, *pools[queue]]
        + ["--hostname", f"{queue}-{os.getpid()}@%h", "--without-mingle", "--loglevel", "INFO"]
    )


@app.command()
def ui(host: Host = "127.0.0.1", port: Annotated[int, typer.Option(help="Port.")] = 8501) -> None:
    """Run only the UI (RLSD_API_URL is the address of the API)."""
    from backend.settings import REPOSITORY

    _replace_process(
        ["-m", "streamlit", "run", str(REPOSITORY / "frontend" / "streamlit_app.py")]
        + ["--server.address", host, "--server.port", str(port), "--server.headless", "true"]
        + ["--browser.gatherUsageStats", "false"]
    )


@app.command()
def migrate() -> None:
    """Migrate the database (DATABASE_URL) to this version; create the first key if there is none."""
    from backend.db.migrate import upgrade
    from backend.settings import settings
    from backend.stack.up import ensure_key

    upgrade(settings().required_database_url)
    print("The database is up to date.")
    first_key = ensure_key(settings().required_database_url, settings())
    if first_key is not None:
        print(f"Admin key (shown once): {first_key}")


@app.command(name="sandbox-check")
def sandbox_check() -> None:
    """Attack the verifier sandbox of this machine and report its level of protection."""
    _replace_process(["-m", "worker.sandbox.probe"])


@app.command()
def settings(name: Annotated[str | None, typer.Argument(help="Name of one setting, for all about it.")] = None) -> None:
    """List the settings of a job (`x_rlsd`): values, default and meaning."""
    from backend.cli.settings_table import all_settings, one_setting

    print(all_settings() if name is None else one_setting(name))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def train(context: typer.Context) -> None:
    """Run one job in the foreground, without any service: `rlsd train --help`."""
    _replace_process(["-m", "worker.commands.train", *context.args])


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def preflight(context: typer.Context) -> None:
    """Sample from a job's model before training, and report what to expect: `rlsd preflight --help`."""
    _replace_process(["-m", "worker.commands.preflight", *context.args])


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def check(context: typer.Context) -> None:
    """Try a verifier on rows of a file, without any service: `rlsd check --help`."""
    _replace_process(["-m", "worker.commands.check", *context.args])


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def demo(context: typer.Context) -> None:
    """Run the whole workflow on an example, from dataset to trained model: `rlsd demo --help`."""
    _replace_process(["-m", "backend.cli.demo", *context.args])


@app.command()
def export(
    job: Annotated[str, typer.Argument(help="Id of a finished job, `ftjob-…`.")],
    output: Annotated[Path | None, typer.Option(help="File for the ZIP; by default FORMAT.zip.")] = None,
    format: Annotated[str, typer.Option(help="`adapter`, `merged` or `gguf`.")] = "adapter",
    dtype: Annotated[
        str | None,
        typer.Option(help="`float32`, `float16`, `bfloat16`, or `q8_0` for gguf; by default the smallest that agrees."),
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="Export this checkpoint, `ftckpt-…`; merged and gguf only.")
    ] = None,
    api_url: ApiUrl = None,
    api_key: ApiKey = "",
) -> None:
    """Download a job's adapter, or a model exported from it, whose outputs are compared with the adapter's first."""
    if format not in EXPORTS or (format == "adapter" and (checkpoint, dtype) != (None, None)):
        raise AppError(
            "--format must be adapter, merged or gguf; --checkpoint and --dtype require merged or gguf.",
            param="format",
        )
    output = output or Path(f"{format}.zip")
    try:
        with connected(api_url, api_key) as client:
            if format == "adapter":
                print(json.dumps({"adapter": str(output), "sha256": client.download_adapter(job, output)}))
                return
            export = client.download_export(
                job,
                output,
                body={"format": format, "dtype": dtype, "checkpoint": checkpoint},
                report=lambda line: print(line, file=sys.stderr),
            )
    except OSError as error:
        raise AppError(f"{output} cannot be written ({error.strerror}): choose another file with --output.") from None
    compared = {"sha256": export["sha256"], "comparison": export["comparison"]}
    print(json.dumps({"export": str(output), "format": format} | compared))


def main() -> None:
    try:
        app()
    except AppError as error:
        print(f"rlsd: {error.message}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
