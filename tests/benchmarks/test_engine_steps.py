"""Steps with diagnostics, the first of every stretch, are counted in what a run takes."""

import pytest

from benchmarks.runs import GroupReward, make_settings, run_segment, run_steps, segment_seconds, starter_tasks


def test_a_stretch_has_its_diagnostic_step_and_goes_on_from_the_one_before():
    checkpoint_data, found = None, []
    for until in (2, 4):
        settings = make_settings(
            "rlsd",
            seed=0,
            batch_size=2,
            num_generations=2,
            max_completion_tokens=4,
            max_steps=until,
            diagnostic_interval=2,
        )
        reward = GroupReward(groups=2, dead=0, num_generations=2)
        steps, checkpoint_data = run_segment(settings, tasks=starter_tasks(), reward=reward, resume=checkpoint_data)
        found.append(["placebo_delta_abs_mean" in step for step in steps])
    assert found == [[True, False], [True, False]]
    assert len(run_steps(settings, tasks=starter_tasks(), reward=GroupReward(groups=2, dead=0, num_generations=2))) == 3


def test_a_stretch_takes_its_median_step_for_each_and_every_report():
    steps = [{"wall_s": 9.0, "report_s": 3.0}, {"wall_s": 1.5, "report_s": 0.5}, {"wall_s": 2.5, "report_s": 0.5}]
    assert segment_seconds(steps) == pytest.approx(3 * 2.0 + 4.0)
