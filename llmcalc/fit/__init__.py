"""Whether a job fits its devices, decided here alone: the verdict, the largest job that fits, the smallest changes."""
