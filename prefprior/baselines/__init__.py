"""What one would use instead of the prior, with the same interface."""
