"""What surrounds every page: sign-in and menu."""
