"""Remedies for outputs, joins and inputs whose entries have different units: one scale cannot hold them."""
