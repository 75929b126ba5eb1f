"""A simulated Cloud AI 100 card: the times of the vendor's published figures, and no silicon."""
