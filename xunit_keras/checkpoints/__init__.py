"""Weights of other people, read without executing what is in their files."""
