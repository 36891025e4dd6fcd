"""What the ``skbert`` command is made of: files in and out, and estimators by name."""
