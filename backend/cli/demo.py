"""`rlsd demo`: the whole workflow, as a user's program would run it: every step is a call of the HTTP API.

Starts the application if none is running on RLSD_HOME, and leaves it running so that the job can be viewed in the UI.
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
"""An example of short arithmetic tasks: a larger model can train on it without a GPU."""
START_TIMEOUT_S = 90.0
POLL_S = 1.0
KEY_NAME = "demo"


def demo(
    model: Annotated[str, typer.Option(help="`starter`, a hub id, or a model folder.")] = "starter",
    example: Annotated[
        Path | None,
        typer.Option(
            help="Folder with job.json, train.jsonl, held_out.jsonl, verifier.py; by default one that fits the model."
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps; replaces the number in job.json.", min=1)] = None,
    output: Annotated[Path | None, typer.Option(help="File for the adapter; by default in RLSD_HOME.")] = None,
) -> None:
    """Run the whole workflow: upload a dataset, check its verifier, train with RLSD, download the adapter."""
    started = time.monotonic()
    secret = new_secret()
    addresses, model_name = _ensure_application(model, secret=secret)
    print(f"UI {addresses.ui_url}   API {addresses.api_url}/docs   key {secret}", flush=True)
    with Client(addresses.api_url, secret) as client:
        folder = example or (STARTER if model_name == "starter" else REASONING_GYM)
        grader = _check_verifier(client, folder)
        body = _job_body(client, folder, model=model_name, grader=grader, steps=steps)
        job_id = client.post("/v1/fine_tuning/jobs", body)["id"]
        print(f"job {job_id}: {addresses.ui_url}/job?job={job_id}", flush=True)
        finished = _watch_job(client, job_id)
        if finished["status"] != JobState.SUCCEEDED:
            raise AppError(f"The job is {finished['status']}: {(finished.get('error') or {}).get('message')}")
        output = output or settings().home / "adapter.zip"
        sha256 = client.download_adapter(job_id, output)
        print(json.dumps(_summary(client, finished, output=output, sha256=sha256, seconds=time.monotonic() - started)))


def _ensure_application(model: str, *, secret: str) -> tuple[Addresses, str]:
    """Return a running application that has the model and accepts `secret` as the demo's key, and the model's name."""
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
        if models and name not in {each["id"] for each in client.get("/v1/models")["data"]}:
            raise AppError(
                f"The running application was started without {model}: stop it (`rlsd down`), then try again."
            )
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


def free_port(preferred: int) -> int:
    """Return the preferred port if it is free, else any free port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _check_verifier(client: Client, example: Path) -> dict[str, Any]:
    """Return the verifier, after checking that only a row's own answer scores, not another row's or an empty one."""
    grader = {"type": "python", "name": example.name, "source": (example / "verifier.py").read_text()}
    client.post("/v1/fine_tuning/alpha/graders/validate", {"grader": grader})
    items = [json.loads(line) for line in (example / "held_out.jsonl").read_text().splitlines()]
    item = items[0]
    other = next(candidate for candidate in items if candidate["answer"] != item["answer"])
    for text, expected in ((_worked_answer(item), 1.0), (_worked_answer(other), 0.0), ("", 0.0)):
        run = client.post("/v1/fine_tuning/alpha/graders/run", {"grader": grader, "item": item, "model_sample": text})
        if run["reward"] != expected:
            raise AppError(f"The verifier returned {run['x_record']} instead of {expected} for the text {text!r}.")
    print("verifier: full score for the reference, none for another row's answer or an empty text", flush=True)
    return grader


def _worked_answer(item: dict[str, Any]) -> str:
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


def _watch_job(client: Client, job_id: str) -> dict[str, Any]:
    """Print events and steps until the job has ended. Returns the job."""
    seen_events: set[str] = set()
    last_step = 0
    while True:
        job = client.get(f"/v1/fine_tuning/jobs/{job_id}")
        for event in reversed(client.get(f"/v1/fine_tuning/jobs/{job_id}/events", limit=50)["data"]):
            if event["id"] not in seen_events:
                seen_events.add(event["id"])
                print(f"  {event['message']}", flush=True)
        for step in _new_steps(client, job_id, after=last_step):
            last_step = step["step"]
            if last_step % 10 == 0 or job["x_progress"]["max_steps"] <= 10:
                print(f"  step {last_step}/{job['x_progress']['max_steps']}  {_figures(step['values'])}", flush=True)
        if job["status"] in TERMINAL | {JobState.PAUSED}:
            return job
        time.sleep(POLL_S)


def _new_steps(client: Client, job_id: str, *, after: int) -> Iterator[dict[str, Any]]:
    yield from client.get(f"/v1/fine_tuning/jobs/{job_id}/metrics", limit=1000, after=str(after))["data"]


def _figures(values: dict[str, float]) -> str:
    if "target_tokens" in values:
        return f"imitation loss {values['loss']:.2f}  {values['step_s']:.2f} s"
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
    return {name: result[name] for name in ("mean", "low", "high", "n", "unscored")}


def main(arguments: Sequence[str] | None = None) -> None:
    try:
        run_standalone(demo, name="demo", arguments=arguments)
    except AppError as error:
        print(f"rlsd: {error.message}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
