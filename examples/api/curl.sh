#!/usr/bin/env bash
# From a file to an adapter with curl:
#   RLSD_API_URL=http://127.0.0.1:8000 RLSD_API_KEY=rlsd-… examples/api/curl.sh adapter.zip
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
starter=$here/../starter

ask() { curl --silent --show-error --fail-with-body --header "Authorization: Bearer $RLSD_API_KEY" "$@"; }
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
upload() { ask "$RLSD_API_URL/v1/files" --form purpose=fine-tune --form "file=@$1" | field id; }

training=$(upload "$starter/train.jsonl")
validation=$(upload "$starter/held_out.jsonl")
echo "uploaded $training and $validation"

request=$(python3 - "$here/job.json" "$starter/verifier.py" "$training" "$validation" <<'PYTHON'
import json, sys
job, verifier, training, validation = sys.argv[1:]
body = json.load(open(job)) | {"training_file": training, "validation_file": validation}
grader = {"type": "python", "name": "starter", "source": open(verifier).read()}
body["method"]["reinforcement"]["grader"] = grader
print(json.dumps(body))
PYTHON
)
job=$(ask "$RLSD_API_URL/v1/fine_tuning/jobs" --json "$request" | field id)
echo "created $job"

# The stream ends when the job ends.
ask --no-buffer "$RLSD_API_URL/v1/fine_tuning/jobs/$job/stream" | grep '^event:'
status=$(ask "$RLSD_API_URL/v1/fine_tuning/jobs/$job" | field status)
[ "$status" = succeeded ] || { echo "$job is $status" >&2; exit 1; }

ask --output "$1" "$RLSD_API_URL/v1/fine_tuning/jobs/$job/adapter"
echo "the adapter is in $1"
