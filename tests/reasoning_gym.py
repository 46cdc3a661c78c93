"""The mark of tests that need the package reasoning-gym."""

import pytest

from tests.machine import MISSING, requirements

needs_reasoning_gym = pytest.mark.skipif(requirements()["reasoning-gym"] is None, reason=MISSING["reasoning-gym"])
