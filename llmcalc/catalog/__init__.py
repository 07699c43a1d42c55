"""Rows: what exists, with its figures and where they were read. A new thing is a new row."""
