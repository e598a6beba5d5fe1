"""The lookup tool: a query goes in, one page comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import bm25s
import numpy as np

from .data import normalize

TITLE_WEIGHT = 4.0  # of a word found in the title against one found in the text


class Lookup:
    """A tool over `pages` (title: text): exact title first, else the best page by BM25.

    Titles are compared in lower case, without outer punctuation or a leading "the". A page's score
    is TITLE_WEIGHT times BM25 (library bm25s) over titles plus BM25 over texts.
    Raises TypeError if a title or a text is not a str, and ValueError if there are no pages.

    >>> lookup = Lookup({"Ada": "Ada was born in London.", "London": "The mayor of London is John Gray."})
    >>> lookup("london"), lookup("Where was Ada born?")
    ('The mayor of London is John Gray.', 'Ada was born in London.')
    >>> lookup("Oslo")
    "No page found for 'Oslo'."
    """

    def __init__(self, pages: Mapping[str, str]) -> None:
        if not isinstance(pages, Mapping):
            raise TypeError(f"pages must map titles to texts, not be a {type(pages).__name__}.")
        if not pages:
            raise ValueError("pages is empty: a lookup needs at least one page.")
        for title, text in pages.items():
            if not isinstance(title, str) or not isinstance(text, str):
                raise TypeError(f"pages: title and text must be str, which {title!r} breaks.")
        self._pages = dict(pages)
        self._titles = {normalize(title): title for title in reversed(self._pages)}
        self._indices = ((TITLE_WEIGHT, _Index(list(pages))), (1.0, _Index(list(pages.values()))))

    def __call__(self, query: str) -> str:
        """Return the text of the page for `query`, or a sentence that says there is none."""
        if not isinstance(query, str):
            raise TypeError(f"query must be a str, not a {type(query).__name__}.")
        title = query if query in self._pages else self._titles.get(normalize(query))
        if title is None:
            words = _tokens([query])[0]
            scores = np.sum([weight * index.scores(words) for weight, index in self._indices], axis=0)
            best = int(np.argmax(scores))
            if scores[best] <= 0:
                return f"No page found for {' '.join(query.split())[:80]!r}."
            title = list(self._pages)[best]
        return self._pages[title]


class _Index:
    def __init__(self, texts: Sequence[str]) -> None:
        tokens = _tokens(texts)
        self._size, self._words = len(texts), {word for text in tokens for word in text}
        self._bm25 = bm25s.BM25()
        if self._words:
            self._bm25.index(tokens, show_progress=False)

    def scores(self, words: Sequence[str]) -> np.ndarray:
        known = [word for word in words if word in self._words]  # bm25s raises on all others
        return self._bm25.get_scores(known) if known else np.zeros(self._size, np.float32)


def _tokens(texts: Sequence[str]) -> list[list[str]]:
    # No English stop list: it would drop words of other languages and make some titles unfindable.
    return bm25s.tokenize(list(texts), stopwords=None, token_pattern=r"\w+", return_ids=False, show_progress=False)
