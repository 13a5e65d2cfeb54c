"""One file a revision, each with its way back."""
