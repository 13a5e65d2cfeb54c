"""From embeddings of their own space to pictures."""
