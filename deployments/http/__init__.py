"""The HTTP surface: requests in, answers and problems out. No decision is made here."""
