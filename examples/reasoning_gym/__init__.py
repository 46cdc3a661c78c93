"""A second example: short sums from the reasoning-gym package."""
