"""Learning benchmark: which credit assignment learns most? Every method on four small tasks, paired over seeds.

`python -m benchmarks.learning` carries out missing runs and appends one line per run to `runs.jsonl`;
`python -m benchmarks.learning report` writes `RESULTS.md` from it. Runs use the engine (`worker.engine.loop.run`) in
process, on one thread; rewards are plain Python functions of the task, without the sandbox.
"""
