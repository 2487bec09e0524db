FLOAT_ONLY: dict[str, str] = {}
