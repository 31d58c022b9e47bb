"""One router: who is asked for a request, what is known of the models, what is counted."""
