"""The search: candidates, the budget, the choice and what the user is advised."""
