"""The only place that knows kopf: its events become keys on the work queue. No decision and no request is made here."""
