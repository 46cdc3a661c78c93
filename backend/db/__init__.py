"""The database: one module per aggregate, each with its tables and the queries on them."""
