"""Evaluation of models: tasks out of benchmark folders, a sandbox for code, scores, and what a turn of the weak-domain loop makes of them."""
