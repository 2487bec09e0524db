"""Where a file runs besides this computer: emulated ARM, the GPU, a device."""
