"""What the verbs return, and when a file is ruined."""
