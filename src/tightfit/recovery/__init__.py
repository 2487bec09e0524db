"""Accuracy back without training: functions from (model, plan, what samples showed) to better ones."""
