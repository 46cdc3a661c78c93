"""Turn bytes into raw rows, one file a format, with a problem for each row that cannot be read."""
