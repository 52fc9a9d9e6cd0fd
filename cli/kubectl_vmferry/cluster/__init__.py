"""How the plugin talks to the API server, as its user."""
