"""Settings of a job, by section of the form."""
