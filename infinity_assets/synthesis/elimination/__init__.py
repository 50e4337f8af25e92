"""Elimination of rewrites by rules (`rewrite_rules`), some of which read the measures of models (`model_measures`)."""
