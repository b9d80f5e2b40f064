"""What proves and demonstrates the platform: the replayed source system, the demo, rehearsals of faults, mutation runs, and the
checks of the supply chain.

It may import all of `sluice`; nothing of `sluice` imports it. Its commands join the `sluice` command by the entry points
`sluice.commands`.
"""
