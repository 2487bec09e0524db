"""Other machines: latency over ssh and adb, by the same code as here."""
