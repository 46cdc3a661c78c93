"""The attacks that every installation tries on its sandbox: seccomp alone blocks them, and outside they work."""

import json
import os
import subprocess
import sys

import pytest

from tests.worker.sandbox.verifiers import python, sample
from worker.sandbox.attacks import ATTACKS
from worker.sandbox.policy import SandboxLimits
from worker.sandbox.pool import Sandbox
from worker.sandbox.probe import _prizes

pytestmark = [pytest.mark.hostile, pytest.mark.usefixtures("python_allowed")]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_seccomp_alone_blocks_the_attacks_too(attack):
    with _prizes() as item, Sandbox(SandboxLimits(row_timeout_s=2.0), max_level=1) as own_sandbox:
        assert own_sandbox.confinement.level == 1
        record = own_sandbox.grade(python(attack.source, isolation="call"), [sample(**item)])[0]
    assert not record.score, attack.name


TOO_EXPENSIVE = {"take 4 GiB of memory"}
NEEDS_ROOT = {"trace the owner", "read the owner's memory", "raise its own limits"}


@pytest.mark.parametrize("attack", [a for a in ATTACKS if a.name not in TOO_EXPENSIVE], ids=lambda attack: attack.name)
def test_attacks_succeed_outside_the_sandbox(attack):
    """Run the same source in an ordinary process of this user; otherwise the attack would prove nothing."""
    if attack.name in NEEDS_ROOT and os.geteuid() != 0:
        pytest.skip("an ordinary user may not do this outside either")
    program = f"{attack.source}\nimport json, sys\nprint(float(grade(None, json.loads(sys.argv[1]))))"
    with _prizes() as item:
        if attack.name == "find a descriptor left open":
            reading, writing = os.pipe()
            descriptors = (reading, writing)
        else:
            descriptors = ()
        run = subprocess.run(
            [sys.executable, "-c", program, json.dumps(item)],
            capture_output=True,
            text=True,
            timeout=30,
            pass_fds=descriptors,
        )
        for descriptor in descriptors:
            os.close(descriptor)
    if attack.name == "run a program":
        assert (run.returncode, run.stdout) == (0, "")
    else:
        assert float(run.stdout) > 0, run.stderr
