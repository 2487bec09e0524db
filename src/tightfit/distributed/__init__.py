"""The work of a search on a Ray cluster; Ray is imported when a cluster is asked for."""
