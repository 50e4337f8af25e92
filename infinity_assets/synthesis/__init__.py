"""Synthesis of new rows: strategies, elimination of rewrites, choice of answers, diagnosis of weak students."""
