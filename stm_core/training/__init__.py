"""Training of the compact network: clips made from photos, annotated video, simulated clicks.  Nothing else
imports it.
"""
