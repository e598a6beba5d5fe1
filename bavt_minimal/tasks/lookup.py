"""The lookup tool: a query goes in, one page comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .data import World, title_key

INDEXED = 100_000  # characters of a page that it is found by; the words of a huge page would fill the memory
TITLE_WEIGHT = 4.0  # of a word found in the title against one found in the text


class Lookup:
    """A tool over `pages` (title: text): exact title first, else the best page by BM25.

    Titles are compared in lower case, without outer punctuation or a leading "the". A page's score
    is `title_weight` times BM25 (library bm25s) over titles plus BM25 over texts, of each text the first INDEXED
    characters.
    Raises TypeError if a title or a text is not a str, and ValueError if there are no pages.

    >>> lookup = Lookup({"Ada": "Ada was born in London.", "London": "The mayor of London is John Gray."})
    >>> lookup("london"), lookup("Where was Ada born?")
    ('The mayor of London is John Gray.', 'Ada was born in London.')
    >>> lookup("Oslo")
    "No page found for 'Oslo'."
    """

    def __init__(self, pages: Mapping[str, str], title_weight: float = TITLE_WEIGHT) -> None:
        if not isinstance(pages, Mapping):
            raise TypeError(f"pages must map titles to texts, not be a {type(pages).__name__}.")
        if not pages:
            raise ValueError("pages is empty: a lookup needs at least one page.")
        for title, text in pages.items():
            if not isinstance(title, str) or not isinstance(text, str):
                raise TypeError(f"pages: title and text must be str, which {title!r} breaks.")
        self._pages = dict(pages)
        self._titles = {title_key(title): title for title in reversed(self._pages)}
        self._indices = (
            (title_weight, _Index(list(pages))),
            (1.0, _Index([text[:INDEXED] for text in pages.values()])),
        )

    def __call__(self, query: str) -> str:
        """Return the text of the page for `query`, or a sentence that says there is none."""
        if not isinstance(query, str):
            raise TypeError(f"query must be a str, not a {type(query).__name__}.")
        title = query if query in self._pages else self._titles.get(title_key(query))
        if title is None:
            words = _tokens([query])[0]
            scores = np.sum([weight * index.scores(words) for weight, index in self._indices], axis=0)
            best = int(np.argmax(scores))
            if scores[best] <= 0:
                return f"No page found for {' '.join(query.split())[:80]!r}."
            title = list(self._pages)[best]
        return self._pages[title]


def pages_for(world: World, question: str = "") -> tuple[Mapping[str, str], float]:
    """The pages of a question, by its id, or all pages, and the weight of their titles.

    Of a question's own ten or twenty, the few titles with a "the" would win by it: there the title, which stands in the
    text too, has no weight of its own.
    """
    return (world.own_pages[question], 0.0) if question in world.own_pages else (world.pages, TITLE_WEIGHT)


def tool_for(world: World, question: str = "") -> Lookup | None:
    """The lookup over the pages of a question, by its id, or over all; None where there are no pages."""
    pages, title_weight = pages_for(world, question)
    return Lookup(pages, title_weight) if pages else None


class _Index:
    def __init__(self, texts: Sequence[str]) -> None:
        tokens = _tokens(texts)
        self._size, self._words = len(texts), {word for text in tokens for word in text}
        from bm25s import BM25  # here, because it takes a while that `bavt --help` has not

        self._bm25 = BM25()
        if self._words:
            self._bm25.index(tokens, show_progress=False)

    def scores(self, words: Sequence[str]) -> np.ndarray:
        known = [word for word in words if word in self._words]  # bm25s raises on all others
        return self._bm25.get_scores(known) if known else np.zeros(self._size, np.float32)


def _tokens(texts: Sequence[str]) -> list[list[str]]:
    # No English stop list: it would drop words of other languages and make some titles unfindable.
    from bm25s import tokenize

    return tokenize(list(texts), stopwords=None, token_pattern=r"\w+", return_ids=False, show_progress=False)
