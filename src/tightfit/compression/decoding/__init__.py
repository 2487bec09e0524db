"""Constants in forms that tflite-micro's DECODE operator expands at run time; one file a form."""
