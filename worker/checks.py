"""What workers do for the API beside training: each kind takes a request, tells how far it is, and returns a result.

Requests and results are JSON. A handler that needs torch imports it when it is called: the process that calls it is
one of its own.
"""

from functools import lru_cache

from backend.checks import Handler, Progress
from backend.db.base import Json
from backend.verifiers.specs import parse_spec
from backend.verifiers.templates import Sample
from worker.sandbox.policy import Limits
from worker.sandbox.pool import Sandbox


@lru_cache(maxsize=1)
def sandbox() -> Sandbox:
    """One warmed sandbox a worker process; it dies with the process."""
    return Sandbox(Limits())


def run_grader(request: Json, _progress: Progress) -> Json:
    """`{grader, samples: [{output_text, item, answer}]}` -> `{records: [score record]}`."""
    samples = [
        Sample(output_text=sample["output_text"], item=sample["item"], answer=sample.get("answer"))
        for sample in request["samples"]
    ]
    records = sandbox().grade(parse_spec(request["grader"]), samples)
    return {"records": [record.to_json() for record in records]}


HANDLERS: dict[str, Handler] = {"grader_run": run_grader}
