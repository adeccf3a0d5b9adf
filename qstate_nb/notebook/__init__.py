"""The notebook's view of apps and State: commands, the `%qstate` magic over them, and the panel."""
