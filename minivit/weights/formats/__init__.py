"""Formats of files that hold named arrays: read without trust, one file for each format."""
