"""Datasets: reading uploaded files to rows in the normal form, analysing, storing and versioning them."""
