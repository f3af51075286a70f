"""Batch retraining: a challenger is trained, judged beside the champion, and published if it is not worse."""
