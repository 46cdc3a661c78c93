"""The last results hold what others look up by name."""

from benchmarks.figures import read_results

FIXED_NAMES = {
    "rlsd_over_grpo_step",
    "rlsd_over_grpo_memory",
    "grpo_over_trl_step",
    "dead_groups_40_saving",
    "python_verifications_per_s",
    "regex_verifications_per_s",
    "submit_to_first_step_s",
    "api_p50_ms",
    "api_p99_ms",
}


def test_the_fixed_names_are_in_the_results():
    assert {figure.name for figure in read_results()} >= FIXED_NAMES
