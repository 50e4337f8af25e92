"""Labels and scores by models."""
