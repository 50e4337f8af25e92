"""What is measured of a row: language, domain, labels, likelihood, quality. Pure functions; the models are asked by the Dagster layer."""
