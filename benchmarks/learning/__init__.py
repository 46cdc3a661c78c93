"""Which way of giving credit learns most? Every method of the engine on four small tasks, paired over seeds.

`python -m benchmarks.learning` runs what is missing and appends a line a run to `runs.jsonl`;
`python -m benchmarks.learning report` writes `RESULTS.md` from it. The engine itself is trained with
(`worker.engine.loop.run`), in process, on one thread; rewards are plain Python functions of the task, not the sandbox.
"""
