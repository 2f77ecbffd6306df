"""A package of its own: another distribution installs a top-level ``tests``, which would hide this one."""
