"""Launches two processes that note their pids by rank, then do what they are told: `FOLDER CONDUCT`."""

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

from worker.training.launch import launch


def behave(folder: Path, conduct: str) -> int:
    rank = os.environ["RANK"]
    asked = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
    (folder / rank).write_text(str(os.getpid()))
    if conduct == "fails" and rank == "1":
        return 3
    while not asked:
        time.sleep(0.02)
    if conduct == "obeys":
        time.sleep(1)  # the step in hand
        (folder / f"obeyed.{rank}").touch()
    return 0


if __name__ == "__main__":
    sys.exit(launch(2, partial(behave, Path(sys.argv[1]), sys.argv[2])))
