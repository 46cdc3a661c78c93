"""From a file to an adapter with the official `openai` client: only `base_url` and `api_key` are this server's own.

RLSD_API_URL=http://127.0.0.1:8000 RLSD_API_KEY=rlsd-… python examples/api/openai_client.py adapter.zip
"""

import json
import os
import sys
import time
from pathlib import Path

from openai import OpenAI

HERE = Path(__file__).resolve().parent
STARTER = HERE.parent / "starter"

client = OpenAI(base_url=os.environ["RLSD_API_URL"] + "/v1", api_key=os.environ["RLSD_API_KEY"])
request = json.loads((HERE / "job.json").read_text())
grader = {"type": "python", "name": "starter", "source": (STARTER / "verifier.py").read_text()}
request["method"]["reinforcement"]["grader"] = grader

training = client.files.create(file=STARTER / "train.jsonl", purpose="fine-tune")
validation = client.files.create(file=STARTER / "held_out.jsonl", purpose="fine-tune")
print(f"uploaded {training.id} and {validation.id}")

job = client.fine_tuning.jobs.create(training_file=training.id, validation_file=validation.id, **request)
print(f"created {job.id}")

while job.status not in ("succeeded", "failed", "cancelled"):
    time.sleep(1)
    job = client.fine_tuning.jobs.retrieve(job.id)
for event in client.fine_tuning.jobs.list_events(job.id):
    print(f"{event.level:>5}  {event.message}")
if job.status != "succeeded":
    sys.exit(f"{job.id} is {job.status}: {job.error}")

# The adapter's route is not part of OpenAI's API; the client's `get` accepts any path.
adapter = client.get(f"/fine_tuning/jobs/{job.id}/adapter", cast_to=bytes)
Path(sys.argv[1]).write_bytes(adapter)
print(f"{job.fine_tuned_model} is in {sys.argv[1]}")
