"""Running Sluice on one machine: the local stack, its REST client and the demo. Not used in production."""
