"""The lookup tool: a query goes in, one page comes out."""

from __future__ import annotations

from collections.abc import Mapping

import bm25s

from bavt_minimal.tasks.data import normalize

TITLE_WEIGHT = 3  # how often the title's words count beside the text's


class Lookup:
    """A tool over `pages` (title: text): exact title first, else the best page by BM25.

    Titles are compared in lower case, without outer punctuation or a leading "the".
    Raises TypeError if a title or a text is not a str, and ValueError if there are no pages.
    """

    def __init__(self, pages: Mapping[str, str]) -> None:
        if not isinstance(pages, Mapping):
            raise TypeError(f"pages must map titles to texts, not be a {type(pages).__name__}.")
        if not pages:
            raise ValueError("pages is empty: a lookup needs at least one page.")
        for title, text in pages.items():
            if not isinstance(title, str) or not isinstance(text, str):
                raise TypeError(f"pages: title and text must be str, but {title!r} is not so.")
        self._texts = list(pages.values())
        self._titles = {normalize(title): index for index, title in enumerate(pages)}
        tokens = _tokens([f"{title} " * TITLE_WEIGHT + text for title, text in pages.items()])
        self._words = {word for page in tokens for word in page}
        self._index = bm25s.BM25() if self._words else None
        if self._index is not None:
            self._index.index(tokens, show_progress=False)

    def __call__(self, query: str) -> str:
        """Return the text of the page for `query`, or a sentence that says there is none."""
        if not isinstance(query, str):
            raise TypeError(f"query must be a str, not a {type(query).__name__}.")
        exact = self._titles.get(normalize(query))
        if exact is not None:
            return self._texts[exact]
        words = [word for word in _tokens([query])[0] if word in self._words]
        if self._index is not None and words:
            scores = self._index.get_scores(words)
            if scores.max() > 0:
                return self._texts[int(scores.argmax())]
        shown = " ".join(query.split())
        return f"No page found for {shown[:80]!r}."


def _tokens(texts: list[str]) -> list[list[str]]:
    # No English stop list: it would drop words of other languages and make some titles unfindable.
    return bm25s.tokenize(texts, stopwords=None, return_ids=False, show_progress=False)
