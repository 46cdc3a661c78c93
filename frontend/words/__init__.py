"""Texts, units and formats of the pages: pure functions, no Streamlit."""
