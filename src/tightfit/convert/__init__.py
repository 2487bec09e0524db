"""Models of other frameworks become float ``.tflite`` files: one file a framework, each imported when needed."""
