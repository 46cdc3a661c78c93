"""The frame around every page: sign-in and menu."""
