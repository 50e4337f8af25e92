"""Elimination of rewrites by rules (`rewrite_rules`) on their texts and on models' measures (`model_measures`)."""
