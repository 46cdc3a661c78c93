"""Launches two processes that write their pids by rank, then act as given: `FOLDER BEHAVIOUR`."""

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

from worker.training.launch import launch


def run_rank(folder: Path, behaviour: str) -> int:
    rank = os.environ["RANK"]
    stop_requests = []
    signal.signal(signal.SIGTERM, lambda *_: stop_requests.append(True))
    (folder / rank).write_text(str(os.getpid()))
    if behaviour == "fails" and rank == "1":
        return 3
    while not stop_requests:
        time.sleep(0.02)
    if behaviour == "obeys":
        time.sleep(1)  # the step in hand
        (folder / f"obeyed.{rank}").touch()
    return 0


if __name__ == "__main__":
    sys.exit(launch(2, partial(run_rank, Path(sys.argv[1]), sys.argv[2])))
