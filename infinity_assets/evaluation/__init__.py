"""Evaluation of models: tasks from benchmark folders, answers, scores, and the turns of the weak domain loop."""
