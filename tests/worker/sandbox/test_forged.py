"""Results that a verifier forges on its own pipe: they change no other row, and end."""

import pytest

from backend.verifiers.specs import Python
from tests.worker.sandbox.verifiers import body, outcomes, python, sample
from worker.sandbox.policy import SandboxLimits
from worker.sandbox.pool import Sandbox

pytestmark = [pytest.mark.hostile, pytest.mark.usefixtures("python_allowed")]

FORGE_AND_SLEEP = """
import os, struct, time

def grade(sample, item):
    if item['attack']:
        os.write(3, struct.pack('!Icdd', 17, b'N', 99.0, 0.0) * item['attack'])
        time.sleep(1000)
    return item['honest']
"""


def test_a_forger_in_the_last_row_is_that_rows_timeout(sandbox):
    rows = [sample(attack=0, honest=0.25), sample(attack=1, honest=1.0)]
    assert outcomes(sandbox.grade(python(FORGE_AND_SLEEP), rows)) == [(0.25, "ok"), (None, "timeout")]


class ConsideredPlain(Python):
    """A verifier whose source was wrongly considered plain."""

    @property
    def one_process_per_call(self):
        return False


def test_a_forger_that_was_considered_plain_is_graded_alone_and_gains_nothing(sandbox):
    spec = ConsideredPlain(type="python", source=FORGE_AND_SLEEP)
    rows = [sample(attack=20 if row == 3 else 0, honest=row / 10) for row in range(6)]
    records = sandbox.grade(spec, rows)
    assert outcomes(records[:3] + records[4:]) == [(row / 10, "ok") for row in (0, 1, 2, 4, 5)]
    assert (records[3].score, records[3].status) == (None, "error")


@pytest.mark.timeout(60)
def test_a_batch_that_ends_without_a_row_is_not_sent_again_for_ever():
    limits = SandboxLimits(row_timeout_s=0.5, batch_timeout_s=0.500001)  # the row's clock restarts when it is compiled
    spec = python(body("while item['hang']:\n    pass\nreturn 1"))
    with Sandbox(limits) as own_sandbox:
        records = own_sandbox.grade(spec, [sample(hang=True), sample(hang=False)])
    assert outcomes(records) == [(None, "timeout"), (1.0, "ok")]
