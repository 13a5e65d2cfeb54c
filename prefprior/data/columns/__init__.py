"""Columns of CSV, TSV, JSONL and Parquet and the values in them; what is wrong is named by its place."""
