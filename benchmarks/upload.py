"""Upload of a large file through the real API: the rate at which its rows are read, and the memory beyond the idle API.

Memory is that of the API and all its children, with shared pages counted once. `RLSD_BENCH_UPLOAD_MB` sets the size of
the file (1,000 by default).
"""

import json
import os
import random
import sys
import threading
import time
from pathlib import Path

import httpx
import psutil

from benchmarks.application import KEY, running
from benchmarks.figures import Figure, figure

SIZE_MB = int(os.environ.get("RLSD_BENCH_UPLOAD_MB", "1000"))
POLL_S = 0.25


def run() -> list[Figure]:
    with running() as (addresses, home):
        path = home / "rows.jsonl"
        rows = _write_rows(path, size_bytes=SIZE_MB * 1_000_000)
        api = _api_process(addresses.pid)
        with httpx.Client(base_url=addresses.api_url, headers={"authorization": f"Bearer {KEY}"}, timeout=60) as http:
            _upload(http, _small_file(home))  # so that lazy loading is not attributed to the large file
            idle_mib = _memory_mib(api)
            with _Peak(api) as peak:
                started = time.monotonic()
                file = _upload(http, path)
                read_s = time.monotonic() - started
        if (file["status"], file["rows"]) != ("processed", rows):
            sys.exit(f"The file was not read: {file}")
    return [
        figure("upload_mb_per_s", [SIZE_MB / read_s], unit="MB/s"),
        figure("upload_rows_per_s", [rows / read_s], unit="1/s"),
        figure("upload_peak_memory", [peak.mib - idle_mib], unit="MiB"),
    ]


def _upload(http: httpx.Client, path: Path) -> dict[str, object]:
    """Upload a file and wait until it is processed."""
    with path.open("rb") as content:
        form = {"purpose": "fine-tune"}
        answer = http.post("/v1/files", data=form, files={"file": content}, headers={"prefer": "respond-async"})
    file: dict[str, object] = answer.raise_for_status().json()
    while file["status"] == "uploaded":
        time.sleep(POLL_S)
        file = http.get(f"/v1/files/{file['id']}").raise_for_status().json()
    return file


def _write_rows(path: Path, *, size_bytes: int) -> int:
    """Write distinct questions of about a hundred words up to the size; return their number."""
    rng, rows = random.Random(0), 0
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(5000)]
    with path.open("w") as file:
        while file.tell() < size_bytes:
            question, solution = (" ".join(rng.choices(words, k=rng.randint(20, 120))) for _ in range(2))
            file.write(json.dumps({"question": question, "answer": str(rows), "solution": solution}) + "\n")
            rows += 1
    return rows


def _small_file(home: Path) -> Path:
    path = home / "small.jsonl"
    path.write_text('{"question": "Why?", "answer": "so"}\n')
    return path


def _api_process(application_pid: int) -> psutil.Process:
    children = psutil.Process(application_pid).children()
    return next(child for child in children if any("uvicorn" in part for part in child.cmdline()))


def _memory_mib(process: psutil.Process) -> float:
    total = 0
    for each in (process, *process.children(recursive=True)):
        try:
            total += each.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total / 1024**2


class _Peak:
    """Peak memory of a process and its children during the block."""

    def __init__(self, process: psutil.Process) -> None:
        self.process = process
        self.mib = 0.0
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._poll, daemon=True)

    def __enter__(self) -> "_Peak":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.thread.join()

    def _poll(self) -> None:
        while not self.stopped.wait(POLL_S):
            self.mib = max(self.mib, _memory_mib(self.process))
