"""The books: what was made, from what, why each row is in or out, and the DuckDB views over all of it."""
