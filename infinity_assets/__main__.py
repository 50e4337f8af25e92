"""`python -m infinity_assets` is the `infinity` command."""

from infinity_assets.cli import main

main(prog_name="infinity")
