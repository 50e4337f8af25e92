"""Charts and tables for the pages of assets and for the terminal, and the dataset card."""
