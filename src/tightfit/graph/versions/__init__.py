"""Op versions, and the least runtime release for a file."""
