"""What people look at: small charts and tables for asset pages, the dataset card."""
