"""Resume the run of `test_loop` from a checkpoint file in a process of its own and write its last checkpoint."""

import sys
from pathlib import Path

from tests.worker.engine.tiny import Recorder, tiny_policy, tiny_settings, tiny_tasks, vowel_share
from worker.engine.loop import run

if __name__ == "__main__":
    settings = tiny_settings(
        max_steps=6, checkpoint_interval=3, teacher_sync_steps=2, lambda_decay_steps=5, lora_dropout=0.1
    )
    recorder = Recorder()
    run(
        settings,
        policy=tiny_policy(settings),
        tasks=tiny_tasks(7),
        held_out=tiny_tasks(4, first_row=50),
        reward=vowel_share,
        observer=recorder,
        resume=Path(sys.argv[1]).read_bytes(),
    )
    Path(sys.argv[2]).write_bytes(recorder.checkpoints[-1].data)
