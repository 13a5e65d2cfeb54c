"""From rating files and pictures to batches of (history, target)."""
