"""From a trained model to embeddings: sampling, reranking and ranking."""
