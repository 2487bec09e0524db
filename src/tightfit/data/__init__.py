"""What a model is calibrated, trained and evaluated with: samples from files, folders and functions."""
