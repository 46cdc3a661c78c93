"""Resume runs in a process of their own: for each `NAME.json` in a folder, from `NAME.half` to `NAME.end`.

The JSON holds what differs from the tiny settings; both files are checkpoints.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.worker.engine.tiny import Recorder, Verdict, teacher_of, tiny_policy, tiny_settings, tiny_tasks, vowel_share
from worker.engine.loop import run
from worker.engine.types import Completion


def mostly_vowels(completions: Sequence[Completion]) -> list[Verdict]:
    """A reward of two values, so that many small groups score the same."""
    return [Verdict(float((verdict.score or 0) > 0.35)) for verdict in vowel_share(completions)]


def finished(changes: dict[str, object], *, resume: bytes | None) -> Recorder:
    """What is seen of the run with these settings, from the beginning or from a checkpoint, to its end."""
    settings, recorder = tiny_settings(**changes), Recorder()
    reward = mostly_vowels if settings.resample_rounds else vowel_share
    policy = tiny_policy(settings)
    run(
        settings,
        policy=policy,
        tasks=tiny_tasks(7),
        held_out=tiny_tasks(2, first_row=50),
        reward=reward,
        observer=recorder,
        resume=resume,
        teacher=teacher_of(settings, policy),
    )
    return recorder


if __name__ == "__main__":
    for case in sorted(Path(sys.argv[1]).glob("*.json")):
        recorder = finished(json.loads(case.read_text()), resume=case.with_suffix(".half").read_bytes())
        case.with_suffix(".end").write_bytes(recorder.checkpoints[-1].data)
