"""A large file through the real API: how fast its rows are read, and how much memory that takes beyond the idle API.

The memory is that of the API and all its children, pages they share counted once. `RLSD_BENCH_UPLOAD_MB` says how
large the file is (1,000 by default).
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
LOOK_S = 0.25


def run() -> list[Figure]:
    with running() as (addresses, home):
        path = home / "rows.jsonl"
        rows = _write_rows(path, size_bytes=SIZE_MB * 1_000_000)
        api = _api_process(addresses.pid)
        with httpx.Client(base_url=addresses.api_url, headers={"authorization": f"Bearer {KEY}"}, timeout=60) as http:
            _upload(http, _small(home))  # what is loaded by the first file is no part of the second
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
    """The file once it is read."""
    with path.open("rb") as content:
        form = {"purpose": "fine-tune"}
        answer = http.post("/v1/files", data=form, files={"file": content}, headers={"prefer": "respond-async"})
    file: dict[str, object] = answer.raise_for_status().json()
    while file["status"] == "uploaded":
        time.sleep(LOOK_S)
        file = http.get(f"/v1/files/{file['id']}").raise_for_status().json()
    return file


def _write_rows(path: Path, *, size_bytes: int) -> int:
    """Different questions of some hundred words, as many as make the size. How many there are."""
    chance, rows = random.Random(0), 0
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 9))) for _ in range(5000)]
    with path.open("w") as file:
        while file.tell() < size_bytes:
            question, solution = (" ".join(chance.choices(words, k=chance.randint(20, 120))) for _ in range(2))
            file.write(json.dumps({"question": question, "answer": str(rows), "solution": solution}) + "\n")
            rows += 1
    return rows


def _small(home: Path) -> Path:
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
    """The most memory that a process and its children have while the block runs."""

    def __init__(self, process: psutil.Process) -> None:
        self.process = process
        self.mib = 0.0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "_Peak":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def _look(self) -> None:
        while not self.over.wait(LOOK_S):
            self.mib = max(self.mib, _memory_mib(self.process))
