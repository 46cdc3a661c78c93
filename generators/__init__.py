"""Files that are generated from the API's OpenAPI document: `make generated` writes them, a test compares them."""
