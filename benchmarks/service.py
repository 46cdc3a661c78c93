"""Waiting times of a user: from a job's creation to its first step, and of requests under load (`load`)."""

import json
import time

from backend.cli.demo import STARTER
from backend.cli.http_client import Client
from benchmarks import load
from benchmarks.application import KEY, running
from benchmarks.figures import Figure, figure

RUNS = 3


def run() -> list[Figure]:
    started = time.monotonic()
    with running() as (addresses, _home), Client(addresses.api_url, KEY) as client:
        start_s = time.monotonic() - started
        waits = [_submit_to_first_step_s(client) for _ in range(RUNS)]
        loaded = load.run(client, api_url=addresses.api_url, database_url=addresses.database_url)
    return [
        figure("submit_to_first_step_s", waits, unit="s"),
        figure("application_start_s", [start_s], unit="s"),
        *loaded,
    ]


def _submit_to_first_step_s(client: Client) -> float:
    body = json.loads((STARTER / "job.json").read_text())
    reinforcement = body["method"]["reinforcement"]
    reinforcement["grader"] = {"type": "python", "name": "v", "source": (STARTER / "verifier.py").read_text()}
    reinforcement["x_rlsd"] |= {"max_steps": 1, "eval_rows": 2, "eval_samples": 1}
    files = {
        "training_file": client.upload(STARTER / "train.jsonl")["id"],
        "validation_file": client.upload(STARTER / "held_out.jsonl")["id"],
    }
    started = time.monotonic()
    job = client.post("/v1/fine_tuning/jobs", body | files)
    while not client.get(f"/v1/fine_tuning/jobs/{job['id']}/metrics")["data"]:
        time.sleep(0.05)
    waited = time.monotonic() - started
    while client.get(f"/v1/fine_tuning/jobs/{job['id']}")["status"] != "succeeded":
        time.sleep(0.2)
    return waited
