"""The report as HTML pages: views, templates, tables, samples, code."""
