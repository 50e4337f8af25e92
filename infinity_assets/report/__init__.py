"""Charts and tables for asset pages and the terminal, and the dataset card."""
