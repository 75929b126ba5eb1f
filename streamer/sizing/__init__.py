"""How much a site needs: cards, workers, partitions, cores and disk for so many cameras, and whether that holds."""
