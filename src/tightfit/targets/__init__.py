"""What devices take: profiles, verdicts op by op, the compilers that prove them, and fixes."""
