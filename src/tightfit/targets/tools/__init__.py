"""The real judges of targets: vela, tflite-micro."""
