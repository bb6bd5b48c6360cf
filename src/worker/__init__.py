"""The process that takes jobs from the store and runs them through an engine session."""
