"""The retriever: user tower, item tower, popularity bias and their contrastive loss."""
