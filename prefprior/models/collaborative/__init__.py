"""The collaborative head: matrix factorisation beside the retriever."""
