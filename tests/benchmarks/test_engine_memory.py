"""The memory benchmark sees what steps add, and not what torch and the model weigh."""

from pathlib import Path

import pytest
import torch

from benchmarks.engine import peak_mb, resting_mb, run_memory

pytestmark = pytest.mark.slow


def forgets_peaks():
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


@pytest.mark.skipif(not forgets_peaks(), reason="this system does not let a process forget its peak")
def test_a_peak_while_loading_does_not_hide_what_comes_after():
    loaded = torch.ones(100 * 2**18)  # 100 MB
    del loaded
    before = resting_mb()
    step = torch.ones(30 * 2**18)
    assert 29 < peak_mb() - before < 40
    del step


def test_a_run_counts_only_what_its_steps_add():
    added, peak = run_memory("rlsd")
    assert 10 < added < peak / 3
