"""The relay: claim, then fetch, publish and settle in rounds, then release."""
