"""What an application on a microcontroller is built from: the model as C, its ops, its memory, a test."""
