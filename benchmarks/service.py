"""How long a user waits: from the job's creation to its first step, through API, queue, worker and trainer."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from backend.application import Addresses, running_application
from backend.client import Client
from backend.demo import STARTER, free_port
from benchmarks.figures import Figure, figure

RUNS = 3
START_TIMEOUT_S = 120.0
KEY = "rlsd-benchmark-key"


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="rlsd-") as home:
        process = subprocess.Popen(
            [sys.executable, "-m", "backend.cli", "up", "--no-ui", "--api-port", str(free_port(8000))],
            env=os.environ | {"RLSD_HOME": home, "RLSD_ADMIN_KEY": KEY},
            stdout=subprocess.DEVNULL,
        )
        try:
            started = time.monotonic()
            addresses = _wait_for(Path(home), process)
            start_s = time.monotonic() - started
            with Client(addresses.api_url, KEY) as client:
                waits = [_submit_to_first_step_s(client) for _ in range(RUNS)]
                gets = [_get_ms(client) for _ in range(200)]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
    gets.sort()
    return [
        figure("submit_to_first_step_s", waits, unit="s"),
        figure("application_start_s", [start_s], unit="s"),
        Figure("api_p50_ms", gets[len(gets) // 2], "ms", len(gets), gets[0], gets[-1]),
        Figure("api_p99_ms", gets[int(len(gets) * 0.99)], "ms", len(gets), gets[0], gets[-1]),
    ]


def _wait_for(home: Path, process: subprocess.Popen[bytes]) -> Addresses:
    deadline = time.monotonic() + START_TIMEOUT_S
    while (running := running_application(home)) is None:
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit("The application did not start.")
        time.sleep(0.05)
    return running


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


def _get_ms(client: Client) -> float:
    started = time.perf_counter()
    client.get("/v1/fine_tuning/jobs", limit=20)
    return (time.perf_counter() - started) * 1000
