"""What whoever runs a server asks of it: its figures, and how the fleet is. All tenants together, and no content."""
