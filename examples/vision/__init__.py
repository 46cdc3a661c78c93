"""Signs on crates: a task that cannot be done without looking, and a small vision-language model that half knows it."""
