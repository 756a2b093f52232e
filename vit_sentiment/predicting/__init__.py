"""Predictions for people: a few photos on the terminal, millions into files."""
