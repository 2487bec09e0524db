"""Op versions and the least runtime release that a file needs."""
