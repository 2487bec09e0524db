"""PyTorch modules and exported programs become StableHLO through litert-torch."""
