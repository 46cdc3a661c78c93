"""Script that resumes runs in a separate process: for each `NAME.json` in a folder, from `NAME.half` to `NAME.end`.

The JSON contains changes of the tiny settings; the other two files are checkpoints.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.worker.engine.tiny import (
    Recorder,
    Verdict,
    component_weights,
    load_teacher,
    tiny_policy,
    tiny_settings,
    tiny_tasks,
    vowel_share,
    weighed,
)
from worker.engine.experiment import Experiment
from worker.engine.loop import run
from worker.engine.types import Completion


def binary_vowel_share(completions: Sequence[Completion]) -> list[Verdict]:
    """Binary reward, so that many small groups have equal scores."""
    return [Verdict(float((verdict.score or 0) > 0.35)) for verdict in vowel_share(completions)]


def run_to_end(changes: dict[str, object], *, resume: bytes | None) -> Recorder:
    """Run with these settings, from the start or from a checkpoint, to the end; return what was observed."""
    settings, recorder = tiny_settings(**changes), Recorder()
    reward = binary_vowel_share if settings.resample_rounds else vowel_share
    reward = weighed if component_weights(settings) else reward
    policy = tiny_policy(settings)
    run(
        Experiment(
            settings=settings,
            policy=policy,
            teacher=load_teacher(settings, policy),
            tasks=tiny_tasks(7),
            held_out=tiny_tasks(4, first_row=50),
            reward=reward,
            component_weights=component_weights(settings),
        ),
        observer=recorder,
        resume=resume,
    )
    return recorder


if __name__ == "__main__":
    for case in sorted(Path(sys.argv[1]).glob("*.json")):
        recorder = run_to_end(json.loads(case.read_text()), resume=case.with_suffix(".half").read_bytes())
        case.with_suffix(".end").write_bytes(recorder.checkpoints[-1].data)
