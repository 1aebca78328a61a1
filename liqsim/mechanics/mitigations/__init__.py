"""Mitigations as pure rules: what a venue decides by what it can observe at that instant."""
