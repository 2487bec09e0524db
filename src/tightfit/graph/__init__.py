"""The one representation: models as linked graphs, and the file format behind them."""
