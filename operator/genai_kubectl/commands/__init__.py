"""One module a group of commands: adapters between typer, `decisions` and `clients`."""
