"""Which dates are trading sessions: small committed tables, no calendar library at run time."""
