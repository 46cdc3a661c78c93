"""The pre-flight check: sample and try a few steps before training, and report what to expect."""
