"""The operator: decides what should be in force for each migration, and says why."""
