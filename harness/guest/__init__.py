"""What scripts for hosts under test share. Standard library only; `targets.scripts` packs it with each script."""
