"""Measures of rows: language, domain, labels, likelihood, quality. The Dagster layer calls the large models."""
