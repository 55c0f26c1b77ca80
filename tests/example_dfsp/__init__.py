"""The example bank: books, lists, codes, texts, pages; and a walk through every page on a live hub."""
