"""A reader's own card: the step that was predicted, run in the reader's own PyTorch, and a receipt of it."""
