"""From ratings to batches: which ratings are history, which are targets, and the loaders that serve them."""
