"""The examples that come with the project: data, verifiers, models, and the scripts that made them."""
