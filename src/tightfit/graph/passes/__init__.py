"""Graph passes that simplify a graph and keep its results."""
