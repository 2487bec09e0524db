"""Options that several commands share: their values, their help, the configuration file."""
