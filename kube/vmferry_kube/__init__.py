"""How operator and agents talk to the API server: kopf watches, the official client writes."""
