"""Signs on crates: a task that needs its images, and a small vision-language model that knows half of the facts."""
