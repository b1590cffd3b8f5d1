"""What is said about a stretch of log, or about one line of it, to a person.

Enters: finished events. Leaves: sums and sentences as values. This package must never know where a log comes from, nor
whether it is shown on a terminal or on a page.
"""
