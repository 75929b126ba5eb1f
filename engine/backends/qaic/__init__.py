"""Qualcomm Cloud AI 100 cards, by the vendor's compiler and its low-level Python binding `qaicrt`."""
