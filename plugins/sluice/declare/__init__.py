"""What people declare: the YAML of a pipeline with its contracts, limits and calendars, read strictly."""
