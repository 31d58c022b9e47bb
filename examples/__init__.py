"""Examples; `echo` is also a model that can be served."""
