"""Live answers: each change is rendered once for everybody who asked the same, and handed out as the same bytes."""
