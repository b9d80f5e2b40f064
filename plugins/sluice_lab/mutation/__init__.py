"""Mutation runs: how much damage gets past the gates.

Clean deliveries of the replayed year are damaged in random, seeded ways, and each goes through the real crossing with the
year's history behind it. What is caught is reported by stage and by kind, beside the alarms on deliveries that nobody
damaged. docs/gate-effectiveness.md says what is counted and what was found.
"""
