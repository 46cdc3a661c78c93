"""Files that a verifier writes: the score that it means comes out, and nothing is left."""

from pathlib import Path

import pytest

from tests.worker.sandbox.verifiers import body, outcomes, python, sample

pytestmark = pytest.mark.usefixtures("python_allowed")

FOLDER = "/tmp/rlsd-scratch"
LOGGING = f"""
import os
import random

def format_reward_func(completions, target, **kwargs):
    rewards = []
    for completion, gt in zip(completions, target):
        try:
            if random.random() < 2:
                os.makedirs("{FOLDER}", exist_ok=True)
                with open(os.path.join("{FOLDER}", "completion_samples.txt"), "a") as f:
                    f.write("\\n\\n==============\\n")
                    f.write(completion)
            rewards.append(1.0 if gt in completion else 0.0)
        except Exception:
            rewards.append(0.0)
    return rewards
"""
RIGHT = 'float(item["target"] in sample["output_text"])'
WRITTEN = {
    "a log of completions": LOGGING,
    "Path.write_text": body(
        f"""
try:
    Path("{FOLDER}").mkdir(parents=True, exist_ok=True)
    Path("{FOLDER}/log.txt").write_text(sample["output_text"])
    return {RIGHT}
except Exception:
    return 0.0
""",
        head="from pathlib import Path",
    ),
    "a logger's file": body(
        f"""
handler = logging.FileHandler("{FOLDER}.log")
handler.emit(logging.makeLogRecord(dict(msg="seen")))
handler.close()
return {RIGHT}
""",
        head="import logging",
    ),
    "JSON lines": body(
        f"""
with open("{FOLDER}.jsonl", "ab") as file:
    file.write(json.dumps(item).encode())
return {RIGHT}
""",
        head="import json",
    ),
    "read again": body(
        f"""
with open("{FOLDER}.txt", "w", encoding="utf-8") as file:
    print(sample["output_text"], file=file)
with open("{FOLDER}.txt", "a") as file:
    file.write("more")
assert open("{FOLDER}.txt").read() == sample["output_text"] + "\\nmore"
return {RIGHT}
"""
    ),
    "numpy": body(f'np.save("{FOLDER}.npy", [1])\nreturn {RIGHT}', head="import numpy as np"),
}


@pytest.mark.parametrize("way", WRITTEN)
def test_a_verifier_that_writes_files_gives_the_score_that_it_means_and_leaves_nothing(sandbox, way):
    rows = [sample("it is 4", target="4"), sample("it is 5", target="4"), sample("4", target="4")]
    assert outcomes(sandbox.grade(python(WRITTEN[way]), rows)) == [(1.0, "ok"), (0.0, "ok"), (1.0, "ok")]
    assert not [*Path("/tmp").glob("rlsd-scratch*")]


def test_a_row_reads_nothing_that_another_has_written(sandbox):
    lines = "try:\n    return len(open('seen').read())\nexcept OSError:\n    open('seen', 'w').write('x')\n    return 0"
    records = sandbox.grade(python(body(lines)), [sample(str(n)) for n in range(4)])
    assert outcomes(records) == [(0.0, "ok")] * 4


DRAWS = """
import random

def reward(completions, **columns):
    return [random.random() for _ in completions]
"""


def test_random_numbers_of_a_function_for_a_batch_follow_the_row(sandbox):
    rows = [sample(str(n)) for n in range(9)]
    spec = python(DRAWS)
    scores = [record.score for record in sandbox.grade(spec, rows)]
    assert len(set(scores)) == 9
    assert [sandbox.grade(spec, [row])[0].score for row in rows] == scores
    assert [record.score for record in sandbox.grade(spec, rows[::-1])] == scores[::-1]
