"""Measurements of speed beside other implementations, which run as processes of their own."""
