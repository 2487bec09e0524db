"""The chart of size against accuracy: scales, spans, marks and labels in pixels."""
