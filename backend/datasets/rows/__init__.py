"""Turn raw rows into the normal form: question, answer, solution, images."""
