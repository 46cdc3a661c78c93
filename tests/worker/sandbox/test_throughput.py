import pytest

from worker.sandbox.throughput import PYTHON, PYTHON_CALL, REGEX, verifications_per_cpu_s, verifications_per_s


@pytest.mark.usefixtures("python_allowed")
@pytest.mark.parametrize(("spec", "floor"), [(PYTHON, 1000), (REGEX, 3000), (PYTHON_CALL, 20)])
def test_verifications_are_counted_and_not_ten_times_too_slow(spec, floor):
    rates = verifications_per_s(spec, rows=64, seconds=0.5)
    assert max(rates) > floor


@pytest.mark.usefixtures("python_allowed")
def test_processor_time_of_all_processes_is_counted():
    assert 500 < verifications_per_cpu_s(PYTHON, rows=64, calls=20) < 1_000_000
