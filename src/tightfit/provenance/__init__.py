"""The provenance record inside a file: recipe, data, probe outputs; and its replay."""
