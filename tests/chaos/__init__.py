"""Seeded clients, and a seeded schedule that breaks everything under them; what they see is held against what they did."""
