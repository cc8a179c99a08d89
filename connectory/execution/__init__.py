"""How one operation is executed: its document, its limits, its place, its errors."""
