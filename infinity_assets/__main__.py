"""Run the `infinity` command: `python -m infinity_assets`."""

from infinity_assets.cli import main

main(prog_name="infinity")
