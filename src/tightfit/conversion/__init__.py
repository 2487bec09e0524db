"""Models of other frameworks become float ``.tflite`` files: one file a framework, imported when needed."""
