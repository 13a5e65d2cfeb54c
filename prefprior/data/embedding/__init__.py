"""Pictures into a CLIP space: encoders, the embedding table, and where a source's embeddings are found."""
