"""The one assembly line: source, calibration, plan, recovery, layout, checked file."""
