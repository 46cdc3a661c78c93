#!/usr/bin/env bash
# From a file to an adapter with the command line:
#   RLSD_API_URL=http://127.0.0.1:8000 RLSD_API_KEY=rlsd-… examples/api/cli.sh adapter.zip
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
starter=$here/../starter

id() { python3 -c 'import json, sys; print(json.load(sys.stdin)["id"])'; }

training=$(rlsd files upload "$starter/train.jsonl" | id)
validation=$(rlsd files upload "$starter/held_out.jsonl" | id)
echo "uploaded $training and $validation"

job=$(rlsd jobs create "$here/job.json" --verifier "$starter/verifier.py" \
  --training-file "$training" --validation-file "$validation" | id)
echo "created $job"

rlsd jobs wait "$job" > /dev/null
rlsd export "$job" --output "$1"
