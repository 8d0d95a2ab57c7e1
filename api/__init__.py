"""HTTP: routes translate, they never decide."""
