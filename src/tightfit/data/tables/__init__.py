"""Data that lies in blocks of rows: parquet files, tars of samples, datasets of Ray; read block by block."""
