"""A word-level tokenizer for the miniature CLIP: its vocabulary is the words captions are made of.

Shapes: N texts, T tokens of the context.
"""

import difflib
import re
from collections.abc import Sequence

import torch
from torch import Tensor

from prefprior.world.render.captions import TABLE

PAD, UNKNOWN, START = 0, 1, 2


EXAMPLE = "dark figures, circles, blue ground, banded background"


class WorldTokenizer:
    """Callable as open_clip's tokenizers are: text or texts to (N, T) token ids, padded.

    The end token has the highest id because open_clip reads the text embedding where the id is largest.
    """

    def __init__(self, *, context_length: int = 36, strict: bool = True) -> None:
        """With `strict`, a word that is in no caption is an error; otherwise it becomes the unknown token."""
        self.context_length = context_length
        self.strict = strict
        words = sorted({word for phrases in TABLE.values() for phrase in phrases for word in phrase.split()})
        self.ids = {word: START + 1 + i for i, word in enumerate(words)}
        self.end = START + 1 + len(words)
        self.vocab_size = self.end + 1

    @property
    def vocabulary(self) -> str:
        """All known words in the order of their ids; weights carry it, so that they refuse other words."""
        return " ".join(self.ids)

    def encode(self, text: str) -> list[int]:
        """Ids of the words of one text, without start, end and padding."""
        words = re.findall(r"[a-z]+", text.lower())
        unknown = [word for word in words if word not in self.ids]
        if unknown and self.strict:
            hints = [f"{word} (nearest: {', '.join(self.nearest(word)) or 'none'})" for word in unknown[:5]]
            raise ValueError(
                f"the world's miniature CLIP has a vocabulary of {len(self.ids)} words, without: "
                f"{'; '.join(hints)}. It reads texts such as {EXAMPLE!r}; its words are {', '.join(self.ids)}"
            )
        return [self.ids.get(word, UNKNOWN) for word in words]

    def nearest(self, word: str) -> list[str]:
        """Known words spelled like an unknown one."""
        return difflib.get_close_matches(word, self.ids, n=3)

    def __call__(self, texts: str | Sequence[str], context_length: int | None = None) -> Tensor:
        length = context_length or self.context_length
        texts = [texts] if isinstance(texts, str) else list(texts)
        tokens = torch.full((len(texts), length), PAD, dtype=torch.long)
        for row, text in enumerate(texts):
            ids = [START, *self.encode(text), self.end]
            if len(ids) > length:
                raise ValueError(f"the text has {len(ids)} tokens, more than {length}; shorten: {text!r}")
            tokens[row, : len(ids)] = torch.tensor(ids)
        return tokens
