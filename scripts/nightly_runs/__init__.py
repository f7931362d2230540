"""Simulated clusters for a stated time: do seeds replay, and does what holds today hold for new ones?"""
