"""The report: what was tried, measured and chosen, as JSON, text and one HTML file."""
