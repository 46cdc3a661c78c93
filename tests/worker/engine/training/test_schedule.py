"""The learning rate of each step equals that of the schedulers of transformers."""

import pytest
import torch
from transformers import get_scheduler

from backend.core.settings.choices import Schedule
from tests.worker.engine.tiny import tiny_settings
from tests.worker.engine.whole_runs import train
from worker.engine.training.schedule import learning_rate_at

RATE = 3e-2


def rates_of_transformers(schedule, *, warmup, max_steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    name = "constant_with_warmup" if schedule == "constant" else schedule
    scheduler = get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=max_steps)
    rates = []
    for _ in range(max_steps):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("schedule", Schedule)
@pytest.mark.parametrize(("warmup", "max_steps"), [(0, 1), (0, 7), (1, 7), (3, 10), (6, 7)])
def test_every_step_has_the_rate_of_transformers(schedule, warmup, max_steps):
    settings = tiny_settings(lr_schedule=schedule, lr_warmup_steps=warmup, max_steps=max_steps, learning_rate=RATE)
    found = [learning_rate_at(step, settings=settings) for step in range(1, max_steps + 1)]
    expected = rates_of_transformers(schedule, warmup=warmup, max_steps=max_steps)
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-18)


def test_without_a_schedule_the_rate_is_the_setting_to_the_last_bit():
    settings = tiny_settings(learning_rate=0.1, max_steps=3)
    assert {learning_rate_at(step, settings=settings) for step in range(1, 9)} == {0.1}


def test_a_run_learns_at_the_rate_that_it_reports():
    settings = tiny_settings(
        lr_schedule="linear", lr_warmup_steps=1, max_steps=3, learning_rate=RATE, weight_decay=0.0, method="grpo"
    )
    _, recorder, _ = train(settings)
    assert [report.metrics["learning_rate"] for report in recorder.steps] == pytest.approx([0.0, RATE, RATE / 2])
