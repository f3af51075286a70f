"""Many trainings for one question: which settings are best (`recsvc tune`), what one of them does (`recsvc sweep`)."""
