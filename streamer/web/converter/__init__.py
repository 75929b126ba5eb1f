"""The page that makes another kind of model of one that is sent in."""
