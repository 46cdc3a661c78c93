"""Tests on this machine whether the sandbox holds: runs the attacks of attacks.py in the real sandbox.

`python -m worker.sandbox.probe` prints the report as JSON and one sentence; its exit status is 1 if an attack
succeeded. A worker probes at start and takes no work if one did. The first time it also installs the libraries for
verifiers (environment.py).
"""

import json
import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from backend.errors import AppError
from backend.verifiers.grader import MAX_SCORE
from backend.verifiers.record import ScoreRecord, ScoreStatus
from backend.verifiers.specs import parse_spec
from backend.verifiers.templates import Sample
from worker.sandbox.attacks import ATTACKS
from worker.sandbox.environment import install
from worker.sandbox.policy import LEVELS, MAX_LEVEL, NOT_COVERED, SandboxLimits
from worker.sandbox.pool import Sandbox

PRIZE_VARIABLE = "RLSD_SANDBOX_PRIZE"
_ANY = (-MAX_SCORE, MAX_SCORE)
"""The range of an attack's score, so that no success is taken for an error."""
_ENDLESS = "def grade(sample, item):\n    return sum(iter(int, 1))\n"


@dataclass(frozen=True, slots=True)
class AttackResult:
    name: str
    held: bool
    outcome: str
    """The first line of the reason, or the score."""


@dataclass(frozen=True, slots=True)
class SandboxReport:
    """Result of a probe. `level` as in policy.LEVELS; `sentence` is the summary for users."""

    level: int
    landlock_abi: int
    sentence: str
    attacks: tuple[AttackResult, ...]

    @property
    def held(self) -> bool:
        return all(attack.held for attack in self.attacks)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"held": self.held, "not_covered": NOT_COVERED}


def probe(*, max_level: int = MAX_LEVEL) -> SandboxReport:
    """Run all attacks, which takes about a second. None at level 0, which refuses Python verifiers.

    Raises AppError(503) if the sandbox does not start.
    """
    limits = SandboxLimits(row_timeout_s=1.0)
    with _prizes() as item, Sandbox(limits, max_level=max_level) as sandbox:
        confinement = sandbox.confinement
        attacks: list[AttackResult] = []
        if confinement.level > 0:
            sample = Sample(output_text="", item=item)
            for attack in ATTACKS:
                spec = parse_spec(
                    {"type": "python", "name": attack.name, "source": attack.source, "isolation": "call", "range": _ANY}
                )
                attacks.append(_judge(attack.name, sandbox.grade(spec, [sample])[0]))
            endless = sandbox.grade(parse_spec({"type": "python", "source": _ENDLESS}), [sample])[0]
            stopped = endless.status is ScoreStatus.TIMEOUT
            attacks.append(AttackResult(name="run for ever", held=stopped, outcome=_outcome(endless)))
    lost = [attack.name for attack in attacks if not attack.held]
    sentence = LEVELS[confinement.level]
    if lost:
        sentence = f"The sandbox is not safe on this system: {', '.join(lost)} succeeded. No verifier may run here."
    elif attacks:
        sentence = f"Level {confinement.level}: {sentence} All {len(attacks)} attacks were blocked."
    return SandboxReport(
        level=confinement.level, landlock_abi=confinement.landlock_abi, sentence=sentence, attacks=tuple(attacks)
    )


def _judge(name: str, record: ScoreRecord) -> AttackResult:
    return AttackResult(name=name, held=not record.score, outcome=_outcome(record))


def _outcome(record: ScoreRecord) -> str:
    return (record.reason or f"score {record.score}").splitlines()[0][:200]


@contextmanager
def _prizes() -> Iterator[dict[str, object]]:
    """Create real targets for the attacks; each is reachable from this process."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rlsd-probe-")))
        folder.chmod(0o777)
        prize = folder / "prize"
        prize.write_text("prize")
        prize.chmod(0o666)
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        by_path = stack.enter_context(socket.socket(socket.AF_UNIX))
        by_path.bind(str(folder / "socket"))
        by_path.listen()
        abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
        name = f"rlsd-probe-{secrets.token_hex(8)}"
        abstract.bind("\0" + name)
        abstract.listen()
        os.environ[PRIZE_VARIABLE] = "prize"
        stack.callback(os.environ.pop, PRIZE_VARIABLE, None)
        yield {
            "owner": os.getpid(),
            "address": id(stack),
            "file": str(prize),
            "folder": str(folder),
            "port": tcp.getsockname()[1],
            "socket": str(folder / "socket"),
            "abstract": name,
        }


def main() -> None:
    try:
        install()
    except AppError as error:  # verifiers without libraries still work
        print(error.message, file=sys.stderr)
    report = probe()
    print(json.dumps(report.to_json(), indent=2))
    print(report.sentence)
    sys.exit(0 if report.held else 1)


if __name__ == "__main__":
    main()
