"""The command line. Only this package prints, exits, reads the environment or picks a device."""
