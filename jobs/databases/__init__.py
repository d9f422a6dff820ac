"""What the maintenance of databases is made of: one module for each part of it."""
