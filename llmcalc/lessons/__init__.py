"""The lesson's calculation: its chapters, the tasks that check themselves, the questions and their wrong answers."""
