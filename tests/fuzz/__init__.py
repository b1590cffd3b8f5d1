"""Searches for hostile input: `./dev fuzz`. What it finds becomes a plain test beside what it is about."""
