"""Which llmcalc this is; CHANGELOG.md says what each has that the one before had not."""

VERSION = "0.2.0"
