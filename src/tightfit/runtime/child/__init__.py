"""Child processes: start, end, messages, limits, crashes."""
