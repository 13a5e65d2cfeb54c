"""What is measured, one kind of metric a file."""
