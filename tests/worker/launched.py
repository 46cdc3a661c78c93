"""One of several processes of `test_launch`: notes its pid by rank, then does what it is told."""

import os
import signal
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    folder, conduct = Path(sys.argv[1]), sys.argv[2]
    rank = os.environ["RANK"]
    asked = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
    (folder / rank).write_text(str(os.getpid()))
    if conduct == "fails" and rank == "1":
        sys.exit(3)
    while not asked:
        time.sleep(0.02)
    if conduct == "obeys":
        time.sleep(1)  # the step in hand
        (folder / f"obeyed.{rank}").touch()
