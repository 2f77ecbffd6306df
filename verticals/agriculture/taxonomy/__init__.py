"""Crops, agents, conditions and severity scales as sourced tables, and what public data sets call them."""
