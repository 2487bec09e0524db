"""What tests share: builders of small models and data, cases, and where things lie."""
