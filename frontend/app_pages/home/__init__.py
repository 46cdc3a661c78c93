"""Home: what needs attention, and the first steps."""
