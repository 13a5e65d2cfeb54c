"""prefprior: a prior over the CLIP embeddings of the pictures a person would like, learned from what people rated."""

__version__ = "0.1.0"
