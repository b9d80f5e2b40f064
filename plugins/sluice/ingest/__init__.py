"""Deliveries: found in the landing zone, read as their contract declares, and staged as raw batches."""
