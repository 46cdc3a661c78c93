"""The job's instruction is in every prompt, and in nothing that a verifier gets."""

import io
import json
from typing import Any

import pytest

from backend.core.settings.spec import RlsdSettings
from backend.datasets.rows.rows import read_rows
from backend.verifiers.specs import parse_spec
from worker.engine.model.images import messages_and_images
from worker.engine.preflight.report import question
from worker.engine.types import Completion
from worker.sandbox.pool import Sandbox
from worker.training.prepare import sandboxed_reward, tasks_of

TOLD = "Think first."
OWN = {"role": "system", "content": "Be brief."}
ASKED = {"role": "user", "content": "Why?"}
SEES_MESSAGES = {
    "type": "python",
    "name": "sees",
    "source": "def reward(prompts, completions, **kwargs):\n"
    "    return [float([m['content'] for m in prompt] == ['Be brief.', 'Why?']) for prompt in prompts]\n",
}


def rows(numbers: range) -> Any:
    lines = [json.dumps({"messages": [OWN, ASKED], "answer": str(number)}) for number in numbers]
    return read_rows(io.BytesIO("\n".join(lines).encode()))


@pytest.mark.parametrize(
    ("fold", "told"),
    [
        (False, [{"role": "system", "content": "Think first.\n\nBe brief."}, ASKED]),
        (True, [{"role": "user", "content": "Think first.\n\nBe brief.\n\nWhy?"}]),
    ],
)
def test_every_prompt_has_the_instruction_and_no_verifier_sees_it(fold: bool, told: list[dict[str, str]]) -> None:
    spec = RlsdSettings(instruction=TOLD, fold_system=fold)
    verifier = parse_spec(SEES_MESSAGES)
    train, held_out = tasks_of(rows(range(20)), spec=spec, verifier=verifier, seed=0, validation=None)
    with_file = tasks_of(rows(range(20)), spec=spec, verifier=verifier, seed=0, validation=rows(range(50, 53)))
    tasks = [*train, *held_out, *with_file[0], *with_file[1]]
    assert held_out
    for task in tasks:
        assert messages_and_images(task)[0] == told
        assert task.messages == (OWN, ASKED)
        assert TOLD not in json.dumps(task.item)
        assert question(task) == "Why?"
    with Sandbox() as sandbox:
        [score] = sandboxed_reward(sandbox, verifier)([Completion(train[0], "because")])
    assert score.score == 1.0, score.reason
