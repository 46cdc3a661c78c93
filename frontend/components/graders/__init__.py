"""A form for each kind of verifier: from a grader object to widgets, and from what they hold to a grader object."""
