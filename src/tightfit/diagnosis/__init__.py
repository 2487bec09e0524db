"""What is wrong and why: the calibration doctor, the explanation of a loss, the difference of two files."""
