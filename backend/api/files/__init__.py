"""Datasets: upload, preview, report, versions."""
