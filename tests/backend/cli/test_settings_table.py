"""`rlsd settings`: the settings of a job without a server."""

from typer.testing import CliRunner

from backend.cli.main import app
from backend.cli.settings_table import all_settings
from backend.core.settings.spec import RlsdSettings
from backend.errors import AppError


def test_every_setting_has_a_line() -> None:
    lines = all_settings().splitlines()
    names = {field.alias or name for name, field in RlsdSettings.model_fields.items()}
    assert names - {"lora", "practice", "warm_start"} < {line.partition(":")[0].strip() for line in lines}
    for nested in ("warm_start.rows", "practice.hint", "lora.alpha"):
        assert any(line.startswith(f"  {nested}: ") for line in lines)
    assert any(line.startswith("  lora.r: whole number, 1 to 512; default 16") for line in lines)


def test_one_setting_is_told_with_its_reason_and_its_methods() -> None:
    result = CliRunner().invoke(app, ["settings", "scale_rewards"])
    assert result.exit_code == 0
    assert result.output.startswith("scale_rewards: std, none, mean; default std. Divisor of advantages")
    assert "Methods that read it: rlsd, grpo, " in result.output
    assert "Why this default: The deviation" in result.output


def test_an_unknown_setting_is_refused_with_the_nearest() -> None:
    result = CliRunner().invoke(app, ["settings", "lamda"])
    assert isinstance(result.exception, AppError)
    assert result.exception.message == "There is no setting 'lamda': did you mean 'lambda'?"
