"""The model representation: linked graphs, and the reader and writer of the file format."""
