"""Losses of labels: what each output trains on, by the words of the user or the kind of the labels."""
