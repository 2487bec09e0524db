"""Budget, evidence and choice: which candidate ships."""
