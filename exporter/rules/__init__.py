"""The alert rules: one template for each area, rendered with the settings that the tasks judge by."""
