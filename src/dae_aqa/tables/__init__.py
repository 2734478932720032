"""Tables: the CSV files at the seams of the pipeline, each with its schema and its check."""
