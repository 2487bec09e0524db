"""What a scheme does without being asked, where the plain file is measured worse than it could be."""
