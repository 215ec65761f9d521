"""A small bookshop: authors, books, customers, orders, reviews."""
