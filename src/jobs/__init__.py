"""Floor 2: the queue: jobs, leases, turns, forecasts. No torch."""
