"""Evaluation of models: tasks from benchmark folders, checks of answers, scores, and turns of the weak domain loop."""
