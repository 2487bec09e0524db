"""The file format around the flatbuffer: element types, structure, attached and mapped files."""
