"""Campaigns that start by themselves."""
