"""Tools for models: converting, comparing, making them smaller, and looking into them."""
