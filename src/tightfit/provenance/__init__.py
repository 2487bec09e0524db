"""What travels inside a file: how it was made, and what it must answer; and the replay of that."""
