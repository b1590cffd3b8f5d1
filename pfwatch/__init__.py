"""pfwatch watches a Postfix mail server for its administrator. The page to read first is `pipeline.py`."""

__version__ = "0.1.0"
