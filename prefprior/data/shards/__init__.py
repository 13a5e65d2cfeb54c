"""Ratings and embeddings as webdataset tars, for training sets that do not fit into memory."""
