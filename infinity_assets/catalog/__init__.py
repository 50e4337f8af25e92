"""The lake, its ledger tables (decisions, edges, origins and others), and the DuckDB views over both."""
