"""The browser's side: Streamlit pages that know the service only through its HTTP API (`api/`)."""
