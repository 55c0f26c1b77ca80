"""Bank statements: compares the payments that the settlement bank reports with those that a settlement expects."""
