"""A form for each kind of grader."""
