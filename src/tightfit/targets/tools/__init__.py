"""What proves a verdict: compilers, interpreters and accelerators, each a row of ``table``."""
