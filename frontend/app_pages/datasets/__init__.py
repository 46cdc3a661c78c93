"""Datasets: upload, map columns, read the report, edit rows, make versions."""
