"""`rlsd demo`: the main road, as a user's program would take it: every step is a call of the HTTP API.

It starts the application if none runs on RLSD_HOME and leaves it running, so that the job can be looked at in the UI.
The last line printed is one JSON object.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from backend.cli.http_client import Client
from backend.cli.standalone import run_standalone
from backend.db.engine import transaction
from backend.db.keys import create_key, find_valid_key, new_secret, revoke_named
from backend.errors import AppError
from backend.jobs.lifecycle import TERMINAL, JobState
from backend.settings import REPOSITORY, settings
from backend.stack.embedded import prepare_home
from backend.stack.up import Addresses, running_application

STARTER = REPOSITORY / "examples" / "starter"
REASONING_GYM = REPOSITORY / "examples" / "reasoning_gym"
"""A few small steps of arithmetic: enough to see a larger model train without a GPU."""
START_TIMEOUT_S = 90.0
LOOK_S = 1.0
KEY_NAME = "demo"


def demo(
    model: Annotated[str, typer.Option(help="`starter`, a hub id, or a folder with a model.")] = "starter",
    example: Annotated[
        Path | None,
        typer.Option(help="Folder with job.json, train.jsonl, held_out.jsonl, verifier.py; else one for the model."),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps; replaces the job's number.", min=1)] = None,
    output: Annotated[Path | None, typer.Option(help="Where the adapter goes; by default into RLSD_HOME.")] = None,
) -> None:
    """Take a file and a verifier through the API, the queue, the sandbox and RLSD to a better model."""
    started = time.monotonic()
    secret = new_secret()
    addresses, model_name = _application(model, secret=secret)
    print(f"UI {addresses.ui_url}   API {addresses.api_url}/docs   key {secret}", flush=True)
    with Client(addresses.api_url, secret) as client:
        folder = example or (STARTER if model_name == "starter" else REASONING_GYM)
        grader = _verified(client, folder)
        body = _job_body(client, folder, model=model_name, grader=grader, steps=steps)
        job_id = client.post("/v1/fine_tuning/jobs", body)["id"]
        print(f"job {job_id}: {addresses.ui_url}/job?job={job_id}", flush=True)
        finished = _watched(client, job_id)
        if finished["status"] != JobState.SUCCEEDED:
            raise AppError(f"The job ended as {finished['status']}: {(finished.get('error') or {}).get('message')}")
        output = output or settings().home / "adapter.zip"
        sha256 = client.download_adapter(job_id, output)
        print(json.dumps(_summary(client, finished, output=output, sha256=sha256, seconds=time.monotonic() - started)))


def _application(model: str, *, secret: str) -> tuple[Addresses, str]:
    """A running application that knows the model and takes `secret` as the demo's one key; the model's name there."""
    folder = Path(model)
    name = folder.resolve().name if folder.is_dir() else model
    models = {name: str(folder.resolve())} if folder.is_dir() else {}
    running = running_application(settings().home)
    if running is None:
        running = _start_application(models, secret=secret)
    with transaction(running.database_url) as session:
        revoke_named(session, KEY_NAME)
        if find_valid_key(session, secret) is None:
            create_key(session, name=KEY_NAME, secret=secret)
    with Client(running.api_url, secret) as client:
        if models and name not in {known["id"] for known in client.get("/v1/models")["data"]}:
            raise AppError(f"The running application does not know {model}: stop it (`rlsd down`), try again.")
    return running, name


def _start_application(models: dict[str, str], *, secret: str) -> Addresses:
    home = settings().home
    prepare_home(home)
    log = home / "up.log"
    log.touch(mode=0o600)
    ports = ["--api-port", str(free_port(8000)), "--ui-port", str(free_port(8501))]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "backend.cli.main", "up", *ports],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | {"RLSD_MODELS": json.dumps(settings().models | models), "RLSD_ADMIN_KEY": secret},
        )
    print(f"starting the application (data in {home}) ...", flush=True)
    deadline = time.monotonic() + START_TIMEOUT_S
    while (running := running_application(home)) is None:
        if process.poll() is not None or time.monotonic() > deadline:
            process.send_signal(signal.SIGTERM)
            raise AppError(f"The application did not start:\n{log.read_text(errors='replace')}")
        time.sleep(0.2)
    return running


def free_port(wanted: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _verified(client: Client, example: Path) -> dict[str, Any]:
    """The verifier, after it has given full marks to a row's own answer and none to another row's or to silence."""
    grader = {"type": "python", "name": example.name, "source": (example / "verifier.py").read_text()}
    client.post("/v1/fine_tuning/alpha/graders/validate", {"grader": grader})
    items = [json.loads(line) for line in (example / "held_out.jsonl").read_text().splitlines()]
    item = items[0]
    other = next(candidate for candidate in items if candidate["answer"] != item["answer"])
    for text, expected in ((_worked(item), 1.0), (_worked(other), 0.0), ("", 0.0)):
        run = client.post("/v1/fine_tuning/alpha/graders/run", {"grader": grader, "item": item, "model_sample": text})
        if run["reward"] != expected:
            raise AppError(f"The verifier gave {run['x_record']} where {expected} was expected, for the text {text!r}.")
    print("verifier: full marks for the reference, none for another row's answer or silence", flush=True)
    return grader


def _worked(item: dict[str, Any]) -> str:
    return str(item.get("solution", item["answer"]))


def _job_body(
    client: Client, example: Path, *, model: str, grader: dict[str, Any], steps: int | None
) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((example / "job.json").read_text())
    reinforcement = body["method"]["reinforcement"]
    reinforcement["grader"] = grader
    if steps is not None:
        reinforcement.setdefault("x_rlsd", {})["max_steps"] = steps
    files = {}
    for field, name in (("training_file", "train.jsonl"), ("validation_file", "held_out.jsonl")):
        uploaded = client.upload(example / name)
        report = client.get(f"/v1/files/{uploaded['id']}/report")
        print(f"{name}: {report['good']} rows, read as {report['shape']}", flush=True)
        files[field] = uploaded["id"]
    return body | files | {"model": model}


def _watched(client: Client, job_id: str) -> dict[str, Any]:
    """Print what happens until the job has ended. Returns the job."""
    seen_events: set[str] = set()
    shown = 0
    while True:
        job = client.get(f"/v1/fine_tuning/jobs/{job_id}")
        for event in reversed(client.get(f"/v1/fine_tuning/jobs/{job_id}/events", limit=50)["data"]):
            if event["id"] not in seen_events:
                seen_events.add(event["id"])
                print(f"  {event['message']}", flush=True)
        for step in _new_steps(client, job_id, shown=shown):
            shown = step["step"]
            if shown % 10 == 0 or job["x_progress"]["max_steps"] <= 10:
                print(f"  step {shown}/{job['x_progress']['max_steps']}  {_figures(step['values'])}", flush=True)
        if job["status"] in TERMINAL | {JobState.PAUSED}:
            return job
        time.sleep(LOOK_S)


def _new_steps(client: Client, job_id: str, *, shown: int) -> Iterator[dict[str, Any]]:
    yield from client.get(f"/v1/fine_tuning/jobs/{job_id}/metrics", limit=1000, after=str(shown))["data"]


def _figures(values: dict[str, float]) -> str:
    reward = f"{values['reward_mean']:.2f}" if "reward_mean" in values else "none scored"
    return f"reward {reward}  mixed groups {values['groups_mixed']:.0%}  {values['step_s']:.2f} s"


def _summary(client: Client, job: dict[str, Any], *, output: Path, sha256: str, seconds: float) -> dict[str, Any]:
    results = {e["phase"]: e for e in client.get(f"/v1/fine_tuning/jobs/{job['id']}/evaluations")["data"]}
    x_rlsd = job["method"]["reinforcement"]["x_rlsd"]
    return {
        "job": job["id"],
        "method": x_rlsd["method"],
        "baseline": _interval(results["baseline"]),
        "trained": _interval(results["trained"]),
        "p_value": results["trained"]["p_value"],
        "steps": job["x_progress"]["step"],
        "seconds": round(seconds, 1),
        "adapter": str(output.resolve()),
        "sha256": sha256,
    }


def _interval(result: dict[str, Any]) -> dict[str, Any]:
    return {name: result[name] for name in ("mean", "low", "high", "n")}


def main(arguments: Sequence[str] | None = None) -> None:
    try:
        run_standalone(demo, name="demo", arguments=arguments)
    except AppError as error:
        print(f"rlsd: {error.message}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
