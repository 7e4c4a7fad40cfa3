"""ancestral"""
