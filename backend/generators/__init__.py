"""Files that are generated from settings, methods and routes: `make generated` writes them, a test compares them."""
