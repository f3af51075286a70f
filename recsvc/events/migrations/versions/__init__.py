"""The steps, numbered without a gap."""
