"""Array jobs: a frozen list of visits, scripts that compute them, and what the queue says."""
