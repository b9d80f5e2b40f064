"""What everything else stands on: settings, errors, partitions, the clock, databases. It knows no other room."""
