"""Examples to start from: data, verifiers and small models, each with the script that generates it."""
