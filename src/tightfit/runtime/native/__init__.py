"""What goes through the C API of LiteRT: accelerators and op profiles."""
