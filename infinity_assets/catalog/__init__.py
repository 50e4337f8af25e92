"""The lake, its ledger tables (decisions, edges, origins and others), and DuckDB views of both."""
